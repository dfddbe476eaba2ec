"""Whether the consumer groups have members, all partitions, and offsets that are there."""

from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.adapters.kafka_standing import GroupStanding, KafkaStanding, Place
from pipeline.doctor.finding import Area, Finding, Level, ok, unchecked
from pipeline.doctor.plan import Plan
from pipeline.doctor.words import counted, listed

_STABLE: Final = "stable"
_AGAIN: Final = "run masswatch doctor again"
_START: Final = "start a worker"


def on_groups(found: KafkaStanding, plan: Plan) -> Iterator[Finding]:
    """Judge the groups, each by its members and by what it has committed."""
    if "groups" in found.untold:
        yield unchecked(Area.GROUPS, "groups", found.untold["groups"], _AGAIN)
    for name, topics in plan.groups.items():
        places = places_of(found, topics)
        group = found.groups.get(name)
        if group is None:
            if "groups" not in found.untold:
                yield Finding(
                    Level.FAULT,
                    Area.GROUPS,
                    name,
                    "no such group: no worker has ever read, or this user may not see it",
                    f"{_START}, or allow this user to describe the group",
                )
            continue
        faults = [*_on_members(name, group, places), *_on_commits(name, group, found, places)]
        yield from faults
        if not faults:
            owned = f"{counted(len(places), 'partition')} owned by "
            yield ok(Area.GROUPS, name, owned + counted(group.members, "member"))


def places_of(found: KafkaStanding, topics: Sequence[str]) -> list[Place]:
    """Return the partitions of some topics that there are."""
    return [
        Place(name, partition)
        for name in topics
        if name in found.topics
        for partition in found.topics[name].partitions
    ]


def _on_members(name: str, group: GroupStanding, places: Sequence[Place]) -> Iterator[Finding]:
    if not group.members:
        yield Finding(Level.FAULT, Area.GROUPS, name, "no members: nobody reads", _START)
        return
    if group.state != _STABLE:
        yield Finding(
            Level.WARNING,
            Area.GROUPS,
            name,
            f"is {group.state}, with {counted(group.members, 'member')}",
            f"{_AGAIN} in a minute; if it lasts, look for workers that start and end",
        )
        return
    ownerless = [place for place in places if place not in group.owned]
    if ownerless:
        yield Finding(
            Level.FAULT,
            Area.GROUPS,
            name,
            f"nobody owns {listed(ownerless)}",
            "look whether all workers have the same settings of topics; start them again",
        )
    if group.members > len(places):
        yield Finding(
            Level.NOTE,
            Area.GROUPS,
            name,
            f"{counted(group.members, 'member')} for {counted(len(places), 'partition')}: "
            "some have nothing to do",
            "run no more workers than there are partitions",
        )


def _on_commits(
    name: str, group: GroupStanding, found: KafkaStanding, places: Sequence[Place]
) -> Iterator[Finding]:
    lost: list[str] = []
    unread: list[str] = []
    beyond: list[str] = []
    for place in places:
        committed, offsets = group.committed.get(place), found.offsets.get(place)
        if committed is None or offsets is None:
            continue
        if committed == offsets.first - 1 and offsets.first == offsets.end:
            unread.append(f"{place}@{committed}")
        elif committed < offsets.first:
            lost.append(f"{place}@{committed}..{offsets.first}")
        if committed > offsets.end:
            beyond.append(f"{place}@{committed} of {offsets.end}")
    if lost:
        yield Finding(
            Level.FAULT,
            Area.GROUPS,
            name,
            f"deleted before they were read: {listed(lost)}",
            "keep the topic longer, start more workers; get the records from their sender, or by "
            "masswatch replay from files",
        )
    if unread:
        # A reader that ends between a record and its transaction's marker has read everything.
        yield Finding(
            Level.WARNING,
            Area.GROUPS,
            name,
            f"deleted unread: {listed(unread)}: a record, or only the marker of a transaction",
            "if its sender uses no transactions: keep the topic longer, start more workers; get "
            "the record from its sender",
        )
    if beyond:
        yield Finding(
            Level.FAULT,
            Area.GROUPS,
            name,
            f"has committed more than there is: {listed(beyond)}: the topic was made anew or has "
            "lost records, and what comes up to there may be passed over",
            "stop the workers, delete the group, start them: all that is there is read again, "
            "which changes no alert",
        )
