"""A schedule on its lane: the workers, and what each fault does."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from chaos.lane import Lane
from chaos.nursery import Forked

from pipeline.core.errors import MasswatchError
from pipeline.demo.fleet import Worker, until

SESSION = 6.0
READY_WITHIN = 60.0
ENDS_WITHIN = 20.0
"""Seconds of SIGTERM: more is a fault of the worker."""

SETTINGS: Final = {
    "KAFKA__SESSION_TIMEOUT": str(SESSION),
    "WORKER__LEASE": "4",
    "WORKER__COMMIT_INTERVAL": "0.5",
    "WORKER__STOP_WITHIN": "18",
}

_FOLDER: Final = Path(__file__).parent
_PATH: Final = os.pathsep.join([str(_FOLDER / "tampering"), str(_FOLDER.parents[1])])
_ENDED_WELL: Final = (0, -signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Left:
    """A worker that ended by itself, as a supervisor sees it."""

    log: Path
    code: int

    def __str__(self) -> str:
        return f"{self.log}: ended by itself with exit code {self.code}"


class Scene:
    """Workers that live and die on a lane.

    Args:
        lane: The servers.
        folder: For logs.
        settings: Settings of the workers.
        chance: What decides about details of faults.
        guards_off: Guards that every worker lacks, see `tampering`.
    """

    def __init__(
        self,
        lane: Lane,
        folder: Path,
        settings: dict[str, str],
        chance: Random,
        guards_off: str = "",
    ) -> None:
        self.lane = lane
        self.live: list[Worker] = []
        self.left: list[Left] = []
        self.faults: list[str] = []
        self.said: list[str] = []
        self._chance = chance
        self._folder = folder
        self._settings = settings
        self._guards_off = guards_off
        self._started = 0

    def start(self, way: str = "") -> Worker:
        """Start a worker, spoiled or not."""
        self._started += 1
        environment = tampering(",".join(filter(None, (self._guards_off, way))))
        log = self._folder / f"worker-{self._started}.log"
        worker = Worker(
            self._settings, log, lambda given, log: Forked({**given, **environment}, log)
        )
        self.live.append(worker)
        return worker

    def supervise(self) -> None:
        """Start a worker in place of each that has ended by itself, as a supervisor does."""
        for worker in list(self.live):
            if worker.exit_code is not None:
                self.live.remove(worker)
                self.left.append(Left(worker.log, worker.exit_code))
                if worker.exit_code == 0:
                    self.faults.append(f"{worker.log}: ended by itself as if told to")
                self.start()

    def all_ready(self) -> bool:
        """Tell whether every worker says that it is ready."""
        self.supervise()
        return all(self._is_ready(worker) for worker in self.live)

    def do(self, fault: str) -> None:
        """Let a fault happen, to its end."""
        FAULTS[fault](self)
        self.supervise()

    def end(self) -> None:
        """End every worker, as an operator does."""
        for worker in self.live:
            if worker.exit_code is None:
                worker.send(signal.SIGCONT)
                worker.send(signal.SIGTERM)
        for worker in self.live:
            self._end_of(worker)
        self.live.clear()

    def kill(self) -> None:
        """End every worker whatever it does."""
        for worker in self.live:
            if worker.exit_code is None:
                worker.send(signal.SIGKILL)
                worker.wait()
        self.live.clear()

    def a_worker_is_killed(self) -> None:
        victim = self._victim()
        victim.send(signal.SIGKILL)
        victim.wait()
        self._pause(0, 2)
        self.start()

    def a_worker_is_killed_while_redis_is_frozen(self) -> None:
        self.lane.signal_redis(signal.SIGSTOP)
        self._pause(1, 4)
        self.a_worker_is_killed()
        self.lane.signal_redis(signal.SIGCONT)

    def a_worker_is_killed_with_deliveries_on_their_way(self) -> None:
        victim = self._alone("slow_deliveries")
        self._pause(3, 6)
        victim.send(signal.SIGKILL)
        victim.wait()
        self.live.remove(victim)
        self.start()

    def a_worker_is_stopped(self) -> None:
        self._stop(self._victim())
        self._pause(0, 1)
        self.start()

    def a_worker_sleeps_past_its_session(self) -> None:
        sleeper = self._chance.choice(self.live)
        sleeper.send(signal.SIGSTOP)
        self._pause(SESSION + 0.5, SESSION + 3)
        sleeper.send(signal.SIGCONT)

    def a_worker_sleeps_before_it_publishes(self) -> None:
        self._sleeps("sleeps_before_publishing")

    def a_worker_sleeps_before_it_commits_a_transaction(self) -> None:
        self._sleeps("sleeps_before_commit")

    def a_workers_clock_is_wrong(self) -> None:
        days = self._chance.choice((-400, -40, -3, -0.1, 0.1, 2, 40, 400))
        self._stop(self._victim())
        self.start(f"clock={days}")
        self.said.append(f"clock wrong by {days} days")

    def workers_come_and_go(self) -> None:
        while len(self.live) < 4:
            self.start()
            self._pause(0, 1.5)
        self._pause(0, 3)
        while len(self.live) > 1:
            victim = self._victim()
            if self._chance.random() < 0.5:
                self._stop(victim)
            else:
                victim.send(signal.SIGKILL)
                victim.wait()
            self._pause(0, 1)

    def kafka_restarts(self) -> None:
        self._without_kafka(signal.SIGTERM, 0, 2)

    def kafka_is_killed(self) -> None:
        self._without_kafka(signal.SIGKILL, 0, 1)

    def kafka_is_away(self) -> None:
        least = 60 if self._chance.random() < 0.1 else 6
        self._without_kafka(signal.SIGKILL, least, least + 8)

    def kafka_is_frozen(self) -> None:
        self.lane.signal_kafka(signal.SIGSTOP)
        self._pause(1, 12)
        self.lane.signal_kafka(signal.SIGCONT)

    def kafkas_disk_is_full(self) -> None:
        self.lane.fill_kafkas_disk()
        self._pause(0, 4)
        self.lane.heal()

    def redis_restarts(self) -> None:
        self._without_redis(signal.SIGTERM)

    def redis_is_killed(self) -> None:
        self._without_redis(signal.SIGKILL)

    def redis_is_flushed(self) -> None:
        for _ in range(self._chance.choice((1, 1, 2))):
            with self.lane.redis() as redis:
                redis.flushall()
            self._pause(0, 2)

    def redis_is_slow(self) -> None:
        self.lane.slow.delay = self._chance.choice((0.02, 0.2, 1.0))
        self._pause(3, 8)
        self.lane.slow.delay = 0.0

    def redis_is_frozen(self) -> None:
        self.lane.signal_redis(signal.SIGSTOP)
        self._pause(1, 10)
        self.lane.signal_redis(signal.SIGCONT)

    def redis_refuses_writes(self) -> None:
        self.lane.forbid_redis_to_write()
        self._pause(1, 6)
        self.lane.let_redis_write()

    def redis_is_full(self) -> None:
        self.lane.fill_redis()
        self._pause(1, 6)
        self.lane.let_redis_write()

    def _sleeps(self, way: str) -> None:
        """Let a worker that reads alone stop itself, and another take over meanwhile."""
        sleeper = self._alone(f"{way}={self._chance.randint(1, 6)}")
        try:
            until(lambda: _is_stopped(sleeper.pid) or sleeper.exit_code is not None, "asleep", 15)
        except MasswatchError:
            self.said.append(f"{way}: had nothing to publish")
            self.live.remove(sleeper)
            sleeper.send(signal.SIGKILL)  # it would fall asleep later, with nobody to wake it
            sleeper.wait()
            self.start()
            return
        self.start()
        self._pause(SESSION + 2, SESSION + 5)
        if sleeper.exit_code is None:
            sleeper.send(signal.SIGCONT)

    def _alone(self, way: str) -> Worker:
        """Start a spoiled worker, and end all others."""
        worker = self.start(way)
        for other in list(self.live):
            if other is not worker:
                self.live.remove(other)
                self._end_of(other)
        return worker

    def _victim(self) -> Worker:
        victim = self._chance.choice(self.live)
        self.live.remove(victim)
        return victim

    def _stop(self, worker: Worker) -> None:
        """End a worker as an operator does; if it was about to end by itself, note that."""
        before = worker.exit_code
        if before is not None:
            self.left.append(Left(worker.log, before))
            return
        self._end_of(worker)

    def _end_of(self, worker: Worker) -> None:
        if worker.exit_code is None:
            worker.send(signal.SIGCONT)
            worker.send(signal.SIGTERM)
        began = time.monotonic()
        try:
            code = worker.wait(ENDS_WITHIN)
        except MasswatchError:
            self.faults.append(f"{worker.log}: still there {ENDS_WITHIN:g} s after SIGTERM")
            worker.send(signal.SIGKILL)
            worker.wait()
            return
        if code not in _ENDED_WELL:
            took = time.monotonic() - began
            self.said.append(f"{worker.log}: exit code {code} {took:.1f} s after SIGTERM")

    def _is_ready(self, worker: Worker) -> bool:
        try:
            return worker.is_ready()
        except MasswatchError:
            return False  # it has just ended: supervise sees it

    def _without_kafka(self, number: signal.Signals, least: float, most: float) -> None:
        self.lane.end_kafka(number)
        self._pause(least, most)
        self.lane.heal()

    def _without_redis(self, number: signal.Signals) -> None:
        self.lane.end_redis(number)
        self._pause(0, 4)
        self.lane.heal()

    def _pause(self, least: float, most: float) -> None:
        """Let time pass, which is what a fault is made of."""
        time.sleep(self._chance.uniform(least, most))


def _is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"


FAULTS: Final[dict[str, Callable[[Scene], None]]] = {
    name.replace("_", " "): getattr(Scene, name)
    for name in vars(Scene)
    if name.startswith(("a_worker", "workers_", "kafka", "redis_"))
}


def tampering(ways: str) -> dict[str, str]:
    """Return what spoils a worker by its environment: see `tampering/sitecustomize.py`."""
    return {"CHAOS_TAMPERING": ways, "PYTHONPATH": _PATH} if ways else {}


@contextmanager
def staged(scene: Scene) -> Iterator[Scene]:
    """End what is left of a scene's workers, whatever happens."""
    try:
        yield scene
    finally:
        scene.kill()
