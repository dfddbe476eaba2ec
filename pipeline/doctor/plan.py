"""What there should be on the servers, by the settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from pipeline.adapters.topic_differences import TWINS, Twins
from pipeline.config import Settings
from pipeline.wiring import groups_of
from topics.catalogue import Topic, catalogue, dlq_of


@dataclass(frozen=True, slots=True)
class Plan:
    """What there should be.

    Attributes:
        topics: Every topic.
        groups: What each consumer group reads.
        session_timeout: That of the groups' members.
        twins: The topics whose partitions belong together.
    """

    topics: tuple[Topic, ...]
    groups: Mapping[str, tuple[str, ...]]
    session_timeout: timedelta
    twins: Twins = TWINS

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all topics."""
        return tuple(topic.name for topic in self.topics)

    @property
    def read(self) -> tuple[str, ...]:
        """The topics that groups read."""
        return tuple(dict.fromkeys(name for names in self.groups.values() for name in names))

    @property
    def sources(self) -> tuple[str, ...]:
        """The topics that somebody else writes."""
        return tuple(name for name in self.read if name not in self.twins)

    @property
    def dead_letters(self) -> tuple[str, ...]:
        """The DLQs."""
        return tuple(dlq_of(name) for name in self.read)

    def retention(self, topic: str) -> timedelta:
        """Return how long a topic should keep records."""
        return next(one.retention for one in self.topics if one.name == topic)


def plan_of(settings: Settings) -> Plan:
    """Return what there should be by the settings."""
    kafka = settings.kafka
    return Plan(
        topics=catalogue(kafka.sources, history=kafka.kept),
        groups=groups_of(kafka.application_id, kafka.sources),
        session_timeout=kafka.session_timeout,
    )
