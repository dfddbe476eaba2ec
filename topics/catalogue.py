"""Every topic of Masswatch: what is in it, who reads it, and how Kafka keeps it.

Retention is counted from the writing of a record (`message.timestamp.type=LogAppendTime`), not
from the event time that its producer may have given it: history that is replayed would otherwise
be deleted at once, and a record dated ahead would be kept for ever.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum

EVALUATIONS = "masswatch.evaluations.v1"
ALERTS = "masswatch.alerts.v1"
PARTITIONS = 8
DEAD_LETTER_PARTITIONS = 1

FACTS_KEPT = timedelta(days=23)
"""How long a fact lives: 14 days before, 48 hours after, 7 days of lateness (`design.md` 1.2)."""

_ALERTS_KEPT = timedelta(days=400)
_DEAD_LETTERS_KEPT = timedelta(days=90)

MEBIBYTE = 1024 * 1024
# Kafka's own default, written out: 1 MiB of records and the 12 bytes of frame around them.
SOURCE_MAX_BYTES = MEBIBYTE + 12
# A whole source value with its headers of provenance.
DEAD_LETTER_MAX_BYTES = 2 * MEBIBYTE
# An alert with 500 facts of every kind, before compression.
ALERT_MAX_BYTES = 8 * MEBIBYTE

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_DLQ = ".dlq"
_LONGEST_NAME = 249


class Cleanup(StrEnum):
    """What Kafka does with old records; the values are those of `cleanup.policy`."""

    DELETE = "delete"
    COMPACT_DELETE = "compact,delete"


class Compression(StrEnum):
    """How records lie on disk; the values are those of `compression.type`."""

    AS_PRODUCED = "producer"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `key`, `content` and `readers` are for people, the rest is for Kafka."""

    name: str
    partitions: int
    key: str
    cleanup: Cleanup
    retention: timedelta
    compression: Compression
    max_message_bytes: int
    content: str
    readers: tuple[str, ...]

    def config(self) -> dict[str, str]:
        """Return the topic's settings as Kafka spells them."""
        return {
            "cleanup.policy": self.cleanup.value,
            "compression.type": self.compression.value,
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(self.retention // timedelta(milliseconds=1)),
        }


@dataclass(frozen=True, slots=True)
class Sources:
    """The names of the source topics by kind; a topic of mixed tables may stand under several.

    Raises:
        ValueError: names that Kafka or Masswatch cannot have; all of them, a line each.
    """

    audit: tuple[str, ...] = ("intune.audit.v1",)
    identity_info: tuple[str, ...] = ("defender.identity-info.v1",)
    behavior_entities: tuple[str, ...] = ("defender.behavior-entities.v1",)
    graph_activity: tuple[str, ...] = ("graph.activity.v1",)

    def __post_init__(self) -> None:
        faults = [
            f'{kind}: "{name}": {fault}'
            for kind, names in self._by_kind()
            for name in names
            for fault in _faults(name)
        ]
        if faults:
            raise ValueError("\n".join(faults))

    @property
    def all(self) -> tuple[str, ...]:
        """Every source topic, each once."""
        return tuple(dict.fromkeys(name for _, names in self._by_kind() for name in names))

    def _by_kind(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for field in fields(self):
            yield field.name, getattr(self, field.name)


@dataclass(frozen=True, slots=True)
class History:
    """How far back a backtest can judge.

    Sources are kept so long, and as long as a fact besides: an assignment of the first day has its
    evidence in the days before it. `graph` is that of Graph activity, by far the largest table and
    never a reason: what is older gives alerts without addresses.
    """

    assignments: timedelta = timedelta(days=90)
    graph: timedelta = timedelta(days=7)


def dlq_of(topic: str) -> str:
    """Return the name of the topic where the dead letters of a topic go."""
    return topic + _DLQ


def catalogue(
    sources: Sources | None = None,
    *,
    partitions: int = PARTITIONS,
    history: History | None = None,
) -> tuple[Topic, ...]:
    """Return every topic, each once: the sources and their DLQs, then our own.

    `partitions` is the count of all but the DLQs. Evaluations and alerts always have the same:
    the owner of an evaluations partition is the one writer of its alerts partition.
    """
    history = history or History()
    read = list(_sources(sources or Sources(), partitions, history).values())
    evaluations = _evaluations(partitions)
    return (
        *read,
        *(_dlq(topic) for topic in read),
        evaluations,
        _dlq(evaluations),
        _alerts(partitions, history),
    )


def _sources(sources: Sources, partitions: int, history: History) -> dict[str, Topic]:
    found: dict[str, Topic] = {}
    judged = FACTS_KEPT + history.assignments
    for names, content, retention in (
        (sources.audit, "IntuneAuditLogs", judged),
        # Not compacted: a backtest needs every risk there was, not the last one alone.
        (sources.identity_info, "IdentityInfo", judged),
        (sources.behavior_entities, "BehaviorEntities", judged),
        (
            sources.graph_activity,
            "GraphAPIAuditEvents or MicrosoftGraphActivityLogs",
            FACTS_KEPT + history.graph,
        ),
    ):
        for name in dict.fromkeys(names):
            topic = _source(name, content, retention, partitions)
            found[name] = _mixed(found[name], topic) if name in found else topic
    return found


def _source(name: str, content: str, retention: timedelta, partitions: int) -> Topic:
    return Topic(
        name=name,
        partitions=partitions,
        key="any or null",
        cleanup=Cleanup.DELETE,
        retention=retention,
        compression=Compression.AS_PRODUCED,
        max_message_bytes=SOURCE_MAX_BYTES,
        content=content,
        readers=("worker", "backtest", "rebuild", "replay"),
    )


def _mixed(one: Topic, other: Topic) -> Topic:
    return replace(
        one,
        retention=max(one.retention, other.retention),
        content=f"{one.content}; {other.content}",
    )


def _dlq(topic: Topic) -> Topic:
    return Topic(
        name=dlq_of(topic.name),
        partitions=DEAD_LETTER_PARTITIONS,
        key="as it came",
        cleanup=Cleanup.DELETE,
        # Longer than facts, so that a redrive finds its neighbours still there.
        retention=_DEAD_LETTERS_KEPT,
        compression=Compression.ZSTD,
        max_message_bytes=DEAD_LETTER_MAX_BYTES,
        content=f"values of {topic.name} that nobody could use, whole; why and where in headers",
        readers=("dlq",),
    )


def _evaluations(partitions: int) -> Topic:
    return Topic(
        name=EVALUATIONS,
        partitions=partitions,
        key="tenant and assignment id",
        cleanup=Cleanup.DELETE,
        # A request says nothing that its facts do not say, and every start of a worker asks for
        # all of them again: it need not outlive a long weekend without workers.
        retention=timedelta(days=7),
        compression=Compression.AS_PRODUCED,
        max_message_bytes=SOURCE_MAX_BYTES,
        content='internal: "look at this assignment again"',
        readers=("worker",),
    )


def _alerts(partitions: int, history: History) -> Topic:
    return Topic(
        name=ALERTS,
        partitions=partitions,
        key="alert id",
        cleanup=Cleanup.COMPACT_DELETE,
        # Workers read back from it what they have published, so it must outlast every fact; a
        # year more, since it is also what people look things up in and backtests compare with.
        retention=max(_ALERTS_KEPT, FACTS_KEPT + history.assignments),
        compression=Compression.ZSTD,
        max_message_bytes=ALERT_MAX_BYTES,
        content="alerts as JSON with CloudEvents headers, written in transactions",
        readers=("you", "worker"),
    )


def _faults(name: str) -> Iterator[str]:
    if not _NAME.fullmatch(name) or name in {".", ".."}:
        yield "not a topic name: use letters, digits, dots, dashes and underscores"
    if len(dlq_of(name)) > _LONGEST_NAME:
        longest = _LONGEST_NAME - len(_DLQ)
        yield f"too long: at most {longest} characters, so that its DLQ has a name"
    if name.endswith(_DLQ):
        yield "a DLQ is no source: name the topic that it belongs to"
    if name in {EVALUATIONS, ALERTS}:
        yield "written by Masswatch itself: name a topic that somebody else writes"
