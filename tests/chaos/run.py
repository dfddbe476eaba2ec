"""Run one schedule on a lane, and say what it came to."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from chaos.checks import Findings, conserved, find
from chaos.history import make
from chaos.lane import Lane
from chaos.nursery import Forked
from chaos.scene import READY_WITHIN, SETTINGS, Scene, staged
from chaos.schedule import Schedule
from chaos.sending import FILLER, OVER_AND_OVER, Feed, Means
from kafka_topic import KafkaTopic, Put

from pipeline.adapters.kafka_admin import apply
from pipeline.adapters.kafka_groups import Groups
from pipeline.adapters.kafka_metadata import partition_counts
from pipeline.config import child_environment
from pipeline.core.errors import BrokerUnavailable, MasswatchError
from pipeline.demo.fleet import until
from pipeline.localstack import wait
from pipeline.wiring import groups_of
from topics.catalogue import Sources, catalogue

SETTLED_WITHIN: Final = 120.0
_LOOKS_EVERY: Final = 0.4


@dataclass(slots=True)
class Report:
    """What came of a schedule: nothing in `faults` is what must be.

    Attributes:
        schedule: What was done.
        faults: What must not be.
        found: What the topics held; None when it did not get so far.
        values: How many were sent.
        restarts: Workers that ended by themselves, and were started again.
        said: What else is worth knowing.
        times: Seconds from the beginning at which something was over.
    """

    schedule: Schedule
    faults: list[str] = field(default_factory=list)
    found: Findings | None = None
    values: int = 0
    restarts: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    times: list[tuple[float, str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            str(self.schedule),
            "over after: " + ", ".join(f"{what} {at:.1f} s" for at, what in self.times),
            *([f"{self.values} values, {self.found}"] if self.found else ()),
            *(f"noticed: {one}" for one in (*self.said, *self.restarts)),
            *(f"FAULT: {one}" for one in self.faults),
        ]
        return "\n  ".join(lines)


def run(schedule: Schedule, lane: Lane, folder: Path, *, guards_off: str = "") -> Report:
    """Run a schedule.

    Args:
        schedule: What to do.
        lane: Servers with nothing in them.
        folder: For the logs of the workers.
        guards_off: Guards that the workers lack, see `tampering`.
    """
    report, began = Report(schedule), time.monotonic()

    def over(what: str) -> None:
        report.times.append((time.monotonic() - began, what))

    history = make(schedule.plan, schedule.disturbance, schedule.matching)
    report.values = len(history.values)
    sources = Sources()
    apply(catalogue(sources, partitions=schedule.partitions), lane.client)
    if schedule.sending.means is Means.COMPACTED:
        lane.compact(list(sources.all))
    policy = folder / "policy.toml"
    folder.mkdir(parents=True, exist_ok=True)
    policy.write_text(f'matching = "{schedule.matching}"\n')
    application = f"chaos-{schedule.seed}"
    settings = {
        **SETTINGS,
        "KAFKA__BOOTSTRAP_SERVERS": lane.addresses.bootstrap_servers,
        "KAFKA__APPLICATION_ID": application,
        "REDIS__URL": lane.addresses.redis_url,
        "POLICY_FILE": str(policy),
    }
    over("preparation")
    scene = Scene(lane, folder, settings, Random(f"scene {schedule.seed}"), guards_off)
    feed = Feed(lane.client, f"feed-{schedule.seed}", history, schedule.sending)
    with _noting(report), staged(scene):
        feed.start()
        if schedule.sending.means is Means.COMPACTED:
            until(lambda: _leaves_gaps(lane.client, sources.audit[0]), "compacted", 60)
        # The facts of a new Redis; workers would do the same, each time in a process of their own.
        rebuild = Forked(child_environment(settings), folder / "rebuild.log", "rebuild")
        if rebuild.wait(60):
            raise MasswatchError(f"rebuild: ended with {rebuild.poll()}")
        for _ in range(schedule.workers):
            scene.start()
        until(scene.all_ready, "workers ready", READY_WITHIN)
        over("start")
        feed.go_on()
        for step in schedule.steps:
            time.sleep(step.after)
            scene.do(step.fault)
            over(step.fault)
        feed.finish()
        over("sending")
        with closing(_Rest(lane.client, application, scene)) as at_rest:
            if not wait.until(at_rest, within=SETTLED_WITHIN, every=_LOOKS_EVERY):
                raise MasswatchError(f"not all handled within {SETTLED_WITHIN:g} s")
        over("all handled")
        for worker in scene.live:
            report.faults += conserved(worker.metrics())
        scene.end()
        over("end of workers")
        report.found = find(lane.client, history, schedule.matching)
        report.faults += report.found.faults
        over("comparison")
    report.faults += scene.faults
    report.restarts += map(str, scene.left)
    report.said += scene.said
    return report


class _Rest:
    """Tells whether everything is handled: nothing lags, and every worker is ready, twice."""

    def __init__(self, client: Mapping[str, str], application: str, scene: Scene) -> None:
        self._groups = Groups(client)
        self._read = groups_of(application, Sources())
        self._scene = scene
        self._was_handled = False

    def __call__(self) -> bool:
        is_handled = self._scene.all_ready() and self._nothing_lags()
        is_at_rest, self._was_handled = is_handled and self._was_handled, is_handled
        return is_at_rest

    def close(self) -> None:
        self._groups.close()

    def _nothing_lags(self) -> bool:
        try:
            return all(self._groups.lag(group, topics) == 0 for group, topics in self._read.items())
        except BrokerUnavailable:
            return False


@contextmanager
def _noting(report: Report) -> Iterator[None]:
    """Take what does not come, or not in time, for a fault of the schedule."""
    try:
        yield
    except (MasswatchError, AssertionError) as error:
        report.faults.append(f"{type(error).__name__}: {error}")


def _leaves_gaps(client: Mapping[str, str], topic: str) -> bool:
    """Tell whether a topic has fewer records than offsets; give it a reason to be compacted."""
    found = KafkaTopic(topic, client)
    partitions = partition_counts(client)[topic]
    found.put(*(Put(FILLER, partition=one, key=OVER_AND_OVER) for one in range(partitions)))
    left = {(one.partition(), one.offset()) for one in found.messages()}
    # What was taken away may lie before the first record that is left, where only the key is.
    return any(offset and (partition, offset - 1) not in left for partition, offset in left)
