"""Which topic goes where in a replay, and what must not be."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from pipeline.adapters.kafka_admin import apply, compare
from pipeline.adapters.kafka_feed import Recorded
from pipeline.adapters.kafka_metadata import partition_counts
from pipeline.adapters.kafka_replay import cluster_id
from pipeline.adapters.topic_differences import What
from pipeline.core.errors import ConfigError
from topics.catalogue import MEBIBYTE, Topic

_TIMES: Final = "message.timestamp.type"
_BYTES: Final = "max.message.bytes"


class Placement(StrEnum):
    """In which partition of its new topic a record is put."""

    SAME = "same partition"
    BY_KEY = "by key"
    ANY = "any partition"


@dataclass(frozen=True, slots=True)
class Route:
    """The way of one topic, or of files: from where, to where, and how.

    `keeps_times` tells whether the new topic takes the record times that it is given, and
    `takes_bytes` how much at once.
    """

    source: str
    target: str
    partitions: int
    placement: Placement
    keeps_times: bool
    takes_bytes: int = MEBIBYTE
    is_new: bool = False

    def partition_of(self, record: Recorded) -> int | None:
        """Return the partition for a record; None leaves it to its key.

        Records without a key stay together with those of their partition, and in their order.
        """
        if self.placement is Placement.SAME:
            return record.partition
        if self.placement is Placement.BY_KEY and record.key is None:
            return record.partition % self.partitions
        return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a replay's topics.

    `partitions` are those of each topic that is read, and none for files. A `placement` of None
    leaves it to the counts of partitions.
    """

    targets: Mapping[str, str]
    partitions: Mapping[str, int]
    placement: Placement | None = None
    create: bool = False


def refuse_own_source(wanted: Wanted, source: Mapping[str, str], target: Mapping[str, str]) -> None:
    """See to it that no topic is written that is read.

    Raises:
        ConfigError: one would be.
        BrokerUnavailable: a cluster does not answer.
    """
    both = sorted(set(wanted.targets.values()) & set(wanted.partitions))
    if both and cluster_id(source) == cluster_id(target):
        raise ConfigError(
            f"{', '.join(both)}: would be written into itself: name a --prefix, or another "
            "cluster with --to-bootstrap-servers"
        )


def routes_of(wanted: Wanted, known: Sequence[Topic], target: Mapping[str, str]) -> list[Route]:
    """Find the ways; asks the cluster, changes nothing.

    Args:
        wanted: What is wanted.
        known: The catalogue, a source first.
        target: How to find the cluster that is written to.

    Raises:
        ConfigError: topics are missing and not to be created, or have too few partitions.
        BrokerUnavailable: the cluster does not answer.
    """
    counts = partition_counts(target)
    missing = [one for one in wanted.targets.values() if one not in counts]
    if missing and not wanted.create:
        raise ConfigError(
            "\n".join(
                f"topic {one}: there is none where it is to go: --create makes it"
                for one in missing
            )
        )
    shapes = _new_topics(wanted, known, wanted.targets.values())
    found = [one for one in compare(shapes, target) if one.what is What.CONFIG]
    # The catalogue has brokers stamp every record.
    keeping = {one.topic for one in found if one.setting == _TIMES}
    takes = {one.name: one.max_message_bytes for one in shapes} | {
        one.topic: int(one.found) for one in found if one.setting == _BYTES
    }
    planned = {one.name: one.partitions for one in shapes} | counts
    routes = [
        Route(
            source=source,
            target=name,
            partitions=planned[name],
            placement=_placement(wanted, source, planned[name]),
            keeps_times=name in keeping,
            takes_bytes=takes[name],
            is_new=name not in counts,
        )
        for source, name in wanted.targets.items()
    ]
    _refuse_too_few(wanted, routes)
    return routes


def create_missing(
    wanted: Wanted, known: Sequence[Topic], target: Mapping[str, str], replication: int
) -> None:
    """Create the topics that are missing, as the catalogue has those they are copies of.

    Raises:
        BrokerUnavailable: the cluster does not answer.
        MasswatchError: it refuses.
    """
    counts = partition_counts(target)
    missing = [one for one in wanted.targets.values() if one not in counts]
    apply(_new_topics(wanted, known, missing), target, replication=replication)


def _new_topics(wanted: Wanted, known: Sequence[Topic], names: Iterable[str]) -> list[Topic]:
    """Return topics like those they are copies of; what nobody knows becomes like a source."""
    by_name = {one.name: one for one in known}
    from_where = {name: source for source, name in wanted.targets.items()}
    return [
        replace(
            like := by_name.get(from_where[name]) or by_name.get(name, known[0]),
            name=name,
            partitions=wanted.partitions.get(from_where[name], like.partitions),
        )
        for name in dict.fromkeys(names)
    ]


def _placement(wanted: Wanted, source: str, partitions: int) -> Placement:
    if source not in wanted.partitions:
        return Placement.ANY
    if wanted.placement is not None:
        return wanted.placement
    as_many = wanted.partitions[source] == partitions
    return Placement.SAME if as_many else Placement.BY_KEY


def _refuse_too_few(wanted: Wanted, routes: Sequence[Route]) -> None:
    few = [
        f"topic {one.target}: {one.partitions} partitions, {one.source} has "
        f"{wanted.partitions[one.source]}: leave --keep-partitions out, or give it as many"
        for one in routes
        if one.placement is Placement.SAME and one.partitions < wanted.partitions[one.source]
    ]
    if few:
        raise ConfigError("\n".join(few))
