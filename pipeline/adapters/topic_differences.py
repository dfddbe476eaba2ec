"""In what a Kafka cluster differs from the catalogue of topics, judged from values alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from topics.catalogue import ALERTS, EVALUATIONS, Topic

Twins = tuple[str, str]
TWINS: Twins = (EVALUATIONS, ALERTS)
"""Two topics whose partitions belong together, one to one."""


class What(StrEnum):
    """In what a cluster may differ from the catalogue."""

    MISSING = "missing"
    PARTITIONS = "partitions"
    TWIN = "partitions of its twin"
    CONFIG = "config"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the catalogue has it.

    `setting` names what differs, as Kafka does. `remedy` says what `apply` does about it, or,
    when `appliable` is false, what a person has to do.
    """

    topic: str
    what: What
    setting: str
    wanted: str
    found: str
    appliable: bool
    remedy: str


def differences(
    topics: Sequence[Topic],
    counts: Mapping[str, int],
    configs: Mapping[str, Mapping[str, str]],
    twins: Twins = TWINS,
) -> Iterator[Difference]:
    """Yield in what a cluster differs from the topics, in their order.

    Args:
        topics: What there should be.
        counts: The partitions of each topic that there is.
        configs: The settings of each of the `topics` that there is.
        twins: Two of the topics, of which the first must have as many partitions as the second.
    """
    for topic in topics:
        if topic.name not in counts:
            yield _missing_difference(topic, counts, twins)
            continue
        yield from _partition_differences(topic, counts[topic.name], twins)
        yield from _config_differences(topic, configs.get(topic.name, {}))
    yield from _twin_differences({topic.name for topic in topics}, counts, twins)


def _missing_difference(topic: Topic, counts: Mapping[str, int], twins: Twins) -> Difference:
    # A twin that exists says how many the new one gets.
    there = [counts[name] for name in twins if topic.name in twins and name in counts]
    count = there[0] if there else topic.partitions
    return Difference(
        topic.name,
        What.MISSING,
        setting="partitions",
        wanted=str(count),
        found="no such topic",
        appliable=True,
        remedy="is created",
    )


def _partition_differences(topic: Topic, found: int, twins: Twins) -> Iterator[Difference]:
    if found >= topic.partitions:
        return
    is_twin = topic.name in twins
    yield Difference(
        topic.name,
        What.PARTITIONS,
        setting="partitions",
        wanted=str(topic.partitions),
        found=str(found),
        appliable=not is_twin,
        remedy="works as it is; more only with new topics" if is_twin else "is raised",
    )


def _twin_differences(
    names: set[str], counts: Mapping[str, int], twins: Twins
) -> Iterator[Difference]:
    first, second = twins
    if not {first, second} <= names & counts.keys() or counts[first] == counts[second]:
        return
    yield Difference(
        first,
        What.TWIN,
        setting="partitions",
        wanted=f"{counts[second]}, as {second}",
        found=str(counts[first]),
        appliable=False,
        remedy=f"stop the workers, delete {first} (the next start asks for all of it again), apply",
    )


def _config_differences(topic: Topic, found: Mapping[str, str]) -> Iterator[Difference]:
    for setting, wanted in topic.config().items():
        has = found.get(setting, "")
        if sorted(has.split(",")) == sorted(wanted.split(",")):
            continue
        yield Difference(
            topic.name,
            What.CONFIG,
            setting=setting,
            wanted=wanted,
            found=has,
            appliable=True,
            remedy="is set",
        )
