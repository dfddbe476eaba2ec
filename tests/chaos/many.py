"""Many schedules, several at once: each lane is a process with servers of its own."""

import shutil
import traceback
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from multiprocessing import get_context, util
from pathlib import Path

from chaos.lane import Lane
from chaos.run import Report, run
from chaos.schedule import Schedule


class Lanes:
    """Processes that run schedules, one each at a time.

    Args:
        count: How many.
        folder: For logs and servers; what went well leaves nothing in it.
        guards_off: Guards that all workers lack.
    """

    def __init__(self, count: int, folder: Path, *, guards_off: str = "") -> None:
        self._pool = ProcessPoolExecutor(
            count, get_context("spawn"), initializer=_begin, initargs=(folder, guards_off)
        )

    def run(self, schedule: Schedule) -> "Future[Report]":
        """Let a schedule be run when a lane is free."""
        return self._pool.submit(_run, schedule)

    def close(self) -> None:
        """Run nothing more, and stop the servers."""
        self._pool.shutdown(cancel_futures=True)


def reports(
    schedules: Sequence[Schedule], lanes: int, folder: Path, *, guards_off: str = ""
) -> Generator[Report, None, None]:
    """Yield the report of each schedule as it comes."""
    running = Lanes(min(lanes, len(schedules)) or 1, folder, guards_off=guards_off)
    try:
        for done in as_completed([running.run(one) for one in schedules]):
            yield done.result()
    finally:
        running.close()


class _Here:
    """This process's lane."""

    lane: Lane | None = None
    folder = Path()
    guards_off = ""


def _begin(folder: Path, guards_off: str) -> None:
    _Here.folder, _Here.guards_off = folder, guards_off
    # The pool ends its processes without atexit.
    util.Finalize(None, _end, exitpriority=10)


def _end() -> None:
    if _Here.lane is not None:
        _Here.lane.__exit__(None, None, None)
        _Here.lane = None


def _run(schedule: Schedule) -> Report:
    logs = _Here.folder / f"seed-{schedule.seed}"
    shutil.rmtree(logs, ignore_errors=True)
    try:
        if _Here.lane is None:
            name = get_context().current_process().pid
            _Here.lane = Lane(_Here.folder / f"lane-{name}")
        else:
            _Here.lane.reset()
        report = run(schedule, _Here.lane, logs, guards_off=_Here.guards_off)
    except Exception:  # noqa: BLE001 - a broken lane is a fault of this schedule, and is replaced
        report = Report(schedule, [traceback.format_exc()])
    if report.faults:
        with ExitStack() as ended:
            ended.callback(_end)
    else:
        shutil.rmtree(logs, ignore_errors=True)
    return report
