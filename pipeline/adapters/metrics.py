"""What a worker counts, as Prometheus reads it; no label names a tenant."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from pipeline.core.event_time import TICKS_PER_SECOND, EventTime
from pipeline.core.verdict import Outcome
from pipeline.ports import Status
from pipeline.sources.outcome import Why

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_DELAYS = (
    0.01,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    900.0,
    3600.0,
    21600.0,
)


@dataclass(frozen=True, slots=True)
class Values:
    """How the values of one partition fared (law 2).

    fetched = sieved + opened; opened = finished + dropped, where the dropped are those of batches
    that were not acknowledged here: somebody reads them again.
    `lag` is how many offsets are left to read; None when that is not known.
    """

    topic: str
    partition: int
    fetched: int
    sieved: int
    opened: int
    dropped: int
    lag: int | None


@dataclass(frozen=True, slots=True)
class Wait:
    """For how many seconds an agent has held the batch in hand; 0 when it does not."""

    agent: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Membership:
    """How one agent fared as a member of its consumer group, since the start."""

    agent: str
    take_overs: int
    commits: int
    commits_refused: int
    commits_unanswered: int
    resets: int


class Metrics:
    """All of a worker's metrics in one registry of its own; satisfies the stages' counts."""

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self._ignored = Counter(
            "masswatch_records_ignored",
            "Records of opened values ignored by rule.",
            ("topic", "why"),
            registry=registry,
        )
        self._handled = Counter(
            "masswatch_records_handled",
            "Records of opened values whose effect is durable: facts, and requests evaluated.",
            ("topic", "kind"),
            registry=registry,
        )
        self._dead_lettered = Counter(
            "masswatch_records_dead_lettered",
            "Records of opened values that went to the DLQ.",
            ("topic",),
            registry=registry,
        )
        self._unknown_workspaces = Counter(
            "masswatch_unknown_workspaces",
            "Facts whose tenant was taken from a workspace id that the policy does not map.",
            registry=registry,
        )
        self._too_late = Counter(
            "masswatch_records_too_late",
            "Records appended more than the policy's lateness after their event time.",
            ("kind",),
            registry=registry,
        )
        self._evaluations = Counter(
            "masswatch_evaluations", "Verdicts made.", ("outcome",), registry=registry
        )
        self._unknown_assignments = Counter(
            "masswatch_evaluations_unknown",
            "Evaluations asked for assignments that the store does not have (any more).",
            registry=registry,
        )
        self._published = Counter(
            "masswatch_alerts_published",
            "Revisions published.",
            ("status",),
            registry=registry,
        )
        self._batches = Counter(
            "masswatch_batches",
            "Batches that agents have ended with.",
            ("agent", "end"),
            registry=registry,
        )
        self._batch_seconds = Histogram(
            "masswatch_batch_seconds",
            "From a batch's arrival at its agent to its acknowledgement, waits included.",
            ("agent",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._waits = Counter(
            "masswatch_waits",
            "Times that a batch was held because something did not answer.",
            ("agent", "on"),
            registry=registry,
        )
        self._waiting = Gauge(
            "masswatch_waiting",
            "Whether an agent holds its batch because something does not answer.",
            ("agent",),
            registry=registry,
        )
        self._delays = Histogram(
            "masswatch_delay_seconds",
            "From a record's append until what follows is durable: facts and requests (observe), "
            "or the verdict (evaluate).",
            ("step",),
            buckets=_DELAYS,
            registry=registry,
        )
        self._source_last_record = Gauge(
            "masswatch_source_last_record_timestamp_seconds",
            "When a record of a source was last read by any worker; none: nobody has read one.",
            ("source",),
            registry=registry,
        )
        self._source_read_to = Gauge(
            "masswatch_source_read_to_timestamp_seconds",
            "What was appended to a source's topics before this time is taken into account.",
            ("source",),
            registry=registry,
        )
        self._source_quiet = Gauge(
            "masswatch_source_quiet",
            "Whether a source has had no record for longer than the setting allows.",
            ("source",),
            registry=registry,
        )
        self._ownership_lost = Counter(
            "masswatch_ownership_lost",
            "Transactions that were fenced or whose outcome is unknown.",
            registry=registry,
        )
        self._store_ready = Gauge(
            "masswatch_store_ready",
            "Whether the store holds all facts; while it does not, nothing is evaluated.",
            registry=registry,
        )
        self._rebuilds = Counter(
            "masswatch_rebuilds",
            "Rebuilds of the store that this worker has had done.",
            ("end",),
            registry=registry,
        )
        self._policy = Gauge(
            "masswatch_policy_info",
            "Always 1: the digest of the policy in force; all workers should show the same.",
            ("digest",),
            registry=registry,
        )
        self._policy_reloads = Counter(
            "masswatch_policy_reloads",
            "Times that the policy file was read anew: reloaded, unchanged, or refused as wrong.",
            ("end",),
            registry=registry,
        )
        for end in ("reloaded", "unchanged", "refused"):
            self._policy_reloads.labels(end)
        Gauge("masswatch_build_info", "Always 1.", ("version",), registry=registry).labels(
            version
        ).set(1)

    def ignored(self, topic: str, why: Why, records: int = 1) -> None:
        """Count records that were ignored by rule."""
        self._ignored.labels(topic, why.value).inc(records)

    def handled(self, topic: str, kind: str) -> None:
        """Count a record that became a durable fact, or a request that was evaluated."""
        self._handled.labels(topic, kind).inc()

    def dead_lettered(self, topic: str, records: int = 1) -> None:
        """Count a record that is durable in the DLQ."""
        self._dead_lettered.labels(topic).inc(records)

    def unmapped_workspace(self) -> None:
        """Count a fact whose tenant is a workspace id that the policy does not map."""
        self._unknown_workspaces.inc()

    def too_late(self, kind: str) -> None:
        """Count a record that came later than the policy waits."""
        self._too_late.labels(kind).inc()

    def evaluated(self, outcome: Outcome) -> None:
        """Count a verdict."""
        self._evaluations.labels(outcome.value).inc()

    def unknown(self) -> None:
        """Count an evaluation of an assignment that the store does not have."""
        self._unknown_assignments.inc()

    def published(self, status: Status) -> None:
        """Count a revision."""
        self._published.labels(status.value).inc()

    def batch_ended(self, agent: str, end: str, seconds: float) -> None:
        """Count a batch: acknowledged, stale, dropped, or lost."""
        self._batches.labels(agent, end).inc()
        self._batch_seconds.labels(agent).observe(seconds)

    def waited(self, agent: str, on: str) -> None:
        """Count that a batch is held because of the store or the broker."""
        self._waits.labels(agent, on).inc()
        self._waiting.labels(agent).set(1)

    def went_on(self, agent: str) -> None:
        """Note that an agent is not, or no longer, waiting."""
        self._waiting.labels(agent).set(0)

    def delayed(self, step: str, seconds: float) -> None:
        """Note how long a record waited for a step: `observe` or `evaluate`."""
        self._delays.labels(step).observe(seconds)

    def source_read(
        self, source: str, *, last_record_at: EventTime | None, read_to: EventTime | None
    ) -> None:
        """Note how far all workers have read a source; what is not known is not told."""
        if last_record_at is not None:
            self._source_last_record.labels(source).set(last_record_at / TICKS_PER_SECOND)
        if read_to is not None:
            self._source_read_to.labels(source).set(read_to / TICKS_PER_SECOND)

    def source_judged(self, source: str, *, is_quiet: bool) -> None:
        """Note whether a source has gone quiet."""
        self._source_quiet.labels(source).set(is_quiet)

    def ownership_lost(self) -> None:
        """Count a transaction that was fenced or whose outcome is unknown."""
        self._ownership_lost.inc()

    def store_looked_at(self, *, is_ready: bool) -> None:
        """Note whether the store holds all facts."""
        self._store_ready.set(is_ready)

    def rebuild_ended(self, end: str) -> None:
        """Count a rebuild: done, or failed."""
        self._rebuilds.labels(end).inc()

    def policy_in_force(self, digest: str) -> None:
        """Tell this digest as that of the policy in force, and no other."""
        self._policy.clear()
        self._policy.labels(digest).set(1)

    def policy_reload_ended(self, end: str) -> None:
        """Count a reading of the policy file: reloaded, unchanged, or refused."""
        self._policy_reloads.labels(end).inc()

    def watch(
        self,
        values: Callable[[], Iterable[Values]],
        memberships: Callable[[], Iterable[Membership]],
        waits: Callable[[], Iterable[Wait]] = tuple,
    ) -> None:
        """Ask for values of partitions, groups and waits whenever the metrics are read."""
        self._registry.register(_ValuesCollector(values))
        self._registry.register(_MembershipCollector(memberships))
        self._registry.register(_WaitsCollector(waits))

    def text(self) -> bytes:
        """Return all metrics in the text format, see `CONTENT_TYPE`."""
        return generate_latest(self._registry)


class _MembershipCollector(Collector):
    def __init__(self, memberships: Callable[[], Iterable[Membership]]) -> None:
        self._memberships = memberships

    def collect(self) -> Iterator[Metric]:
        take_overs = CounterMetricFamily(
            "masswatch_take_overs", "Assignments of partitions that were opened.", labels=("agent",)
        )
        commits = CounterMetricFamily(
            "masswatch_commits",
            "Commits: taken, refused because the partitions had gone, or not answered in time.",
            labels=("agent", "answer"),
        )
        resets = CounterMetricFamily(
            "masswatch_position_resets",
            "Times that a partition went on elsewhere than where it had been read to.",
            labels=("agent",),
        )
        for one in self._memberships():
            take_overs.add_metric((one.agent,), one.take_overs)
            commits.add_metric((one.agent, "taken"), one.commits)
            commits.add_metric((one.agent, "refused"), one.commits_refused)
            commits.add_metric((one.agent, "none"), one.commits_unanswered)
            resets.add_metric((one.agent,), one.resets)
        yield from (take_overs, commits, resets)


class _WaitsCollector(Collector):
    def __init__(self, waits: Callable[[], Iterable[Wait]]) -> None:
        self._waits = waits

    def collect(self) -> Iterator[Metric]:
        seconds = GaugeMetricFamily(
            "masswatch_held_seconds",
            "For how long an agent has held the batch in hand; 0 when it does not.",
            labels=("agent",),
        )
        for one in self._waits():
            seconds.add_metric((one.agent,), one.seconds)
        yield seconds


class _ValuesCollector(Collector):
    def __init__(self, values: Callable[[], Iterable[Values]]) -> None:
        self._values = values

    def collect(self) -> Iterator[Metric]:
        labels = ("topic", "partition")
        fetched = CounterMetricFamily(
            "masswatch_values_fetched", "Values fetched: sieved + opened.", labels=labels
        )
        sieved = CounterMetricFamily(
            "masswatch_values_sieved", "Values dropped by the byte test.", labels=labels
        )
        opened = CounterMetricFamily(
            "masswatch_values_opened", "Values handed to an agent.", labels=labels
        )
        dropped = CounterMetricFamily(
            "masswatch_values_dropped",
            "Values handed to an agent whose batch was not acknowledged, to be read again.",
            labels=labels,
        )
        lag = GaugeMetricFamily(
            "masswatch_lag", "Offsets of a partition that are still to be read.", labels=labels
        )
        for one in self._values():
            names = (one.topic, str(one.partition))
            fetched.add_metric(names, one.fetched)
            sieved.add_metric(names, one.sieved)
            opened.add_metric(names, one.opened)
            dropped.add_metric(names, one.dropped)
            if one.lag is not None:
                lag.add_metric(names, one.lag)
        yield from (fetched, sieved, opened, dropped, lag)
