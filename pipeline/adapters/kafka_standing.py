"""How a Kafka cluster stands, as plain values: what was told, and what was not and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


@dataclass(frozen=True, slots=True)
class Replicas:
    """Who has a partition: its leader, None when it has none, all brokers, and those in sync."""

    leader: int | None
    all: frozenset[int]
    in_sync: frozenset[int]


@dataclass(frozen=True, slots=True)
class TopicStanding:
    """A topic that is there.

    `operations` are those that our user may do, in Kafka's words; None: the broker does not say.
    """

    partitions: Mapping[int, Replicas]
    operations: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where a partition begins, and where it ends for readers of committed records and of all.

    `newest_ms` is the largest record time in it, None when it holds nothing.
    """

    first: int
    stable: int
    end: int
    newest_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GroupStanding:
    """A consumer group that is there.

    `state` is in Kafka's words, such as "preparing rebalance"; `owned` are the partitions that
    members have; `committed` holds a partition only when the group has committed an offset of it.
    """

    state: str
    members: int
    owned: frozenset[Place]
    committed: Mapping[Place, int]


@dataclass(frozen=True, slots=True)
class KafkaStanding:
    """A cluster that answered.

    Attributes:
        cluster: Its id.
        brokers: The ids of the brokers.
        controller: The broker that is, or speaks for, the controller.
        settings: Those of one broker.
        topics: The topics that were asked for and are there.
        configs: Their settings.
        forbidden: Topics that our user may not even see.
        offsets: Of every partition of `topics` that has a leader.
        groups: The groups that were asked for and are there.
        times_ms: The record time of the first record at or behind an offset.
        untold: What could not be learned, and why, by the name of the field above.
    """

    cluster: str
    brokers: frozenset[int]
    controller: int | None
    settings: Mapping[str, str] = field(default_factory=dict)
    topics: Mapping[str, TopicStanding] = field(default_factory=dict)
    configs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    forbidden: frozenset[str] = frozenset()
    offsets: Mapping[Place, Offsets] = field(default_factory=dict)
    groups: Mapping[str, GroupStanding] = field(default_factory=dict)
    times_ms: Mapping[tuple[Place, int], int] = field(default_factory=dict)
    untold: Mapping[str, str] = field(default_factory=dict)
