"""Many schedules, several at once: each lane is a process with servers of its own."""

import os
import shutil
import signal
import threading
import traceback
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from chaos.lane import Lane
from chaos.run import Report, run
from chaos.schedule import Schedule

from pipeline.localstack import archive_classes, down

ENDS_WITHIN: Final = 400.0
"""Seconds for one schedule; its own waits are bounded, and together they stay below."""

_SPAWN: Final = get_context("spawn")


class Lanes:
    """Processes that run schedules, one each at a time.

    Args:
        count: How many.
        folder: For logs and servers; what went well leaves nothing in it.
        guards_off: Guards that all workers lack.
    """

    def __init__(self, count: int, folder: Path, *, guards_off: str = "") -> None:
        archive_classes()
        self._threads = ThreadPoolExecutor(count)
        self._mine = threading.local()
        self._all: list[_Process] = []
        self._folder = folder
        self._guards_off = guards_off

    def run(self, schedule: Schedule) -> "Future[Report]":
        """Let a schedule be run when a lane is free."""
        return self._threads.submit(self._run, schedule)

    def close(self) -> None:
        """Run nothing more, and stop the servers."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._all:
            process.end()
        self._threads.shutdown()

    def _run(self, schedule: Schedule) -> Report:
        process: _Process | None = getattr(self._mine, "process", None)
        if process is None or not process.is_alive:
            self._mine.process = process = _Process(self._folder, self._guards_off)
            self._all.append(process)
        return process.run(schedule)


def reports(
    schedules: Sequence[Schedule], lanes: int, folder: Path, *, guards_off: str = ""
) -> Generator[Report, None, None]:
    """Yield the report of each schedule as it comes."""
    running = Lanes(lanes, folder, guards_off=guards_off)
    try:
        for done in as_completed([running.run(one) for one in schedules]):
            yield done.result()
    finally:
        running.close()


class _Process:
    """A lane in a process, and session, of its own; what it starts ends with it."""

    def __init__(self, folder: Path, guards_off: str) -> None:
        self._here, there = _SPAWN.Pipe()
        self._folder = folder
        self._process = _SPAWN.Process(target=_work, args=(there, folder, guards_off))
        self._process.start()
        there.close()
        self._ending = threading.Lock()
        self._has_ended = False

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def run(self, schedule: Schedule) -> Report:
        self._here.send(schedule)
        try:
            if not self._here.poll(ENDS_WITHIN):
                self.end()
                return Report(schedule, [f"not ended within {ENDS_WITHIN:g} s"])
            report: Report = self._here.recv()
        except EOFError:
            self.end()
            return Report(schedule, [f"its process ended with {self._process.exitcode}"])
        return report

    def end(self) -> None:
        pid = self._process.pid
        with self._ending:
            if self._has_ended or pid is None:
                return
            with suppress(ProcessLookupError):  # it has no session yet, and has started nothing
                os.killpg(pid, signal.SIGKILL)
            self._process.kill()
            self._process.join()
            down(_servers_of(self._folder, pid), purge=True)
            self._has_ended = True


def _work(asked: Connection, folder: Path, guards_off: str) -> None:
    os.setsid()
    with Lane(_servers_of(folder, os.getpid())) as lane:
        while True:
            asked.send(_report(asked.recv(), lane, folder, guards_off))


def _servers_of(folder: Path, pid: int) -> Path:
    return folder / f"lane-{pid}"


def _report(schedule: Schedule, lane: Lane, folder: Path, guards_off: str) -> Report:
    logs = folder / f"seed-{schedule.seed}"
    shutil.rmtree(logs, ignore_errors=True)
    try:
        lane.reset()
        report = run(schedule, lane, logs, guards_off=guards_off)
    except Exception:  # noqa: BLE001 - whatever it is, it is a fault of this schedule
        report = Report(schedule, [traceback.format_exc()])
    if not report.faults:
        shutil.rmtree(logs, ignore_errors=True)
    return report
