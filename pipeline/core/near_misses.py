"""Why a fact that shares a key with an assignment is no evidence, or an allow entry takes nothing.

Decides nothing: `evidence.matches`, the windows and `AllowEntry.takes` do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from pipeline.core.event_time import EventTime
from pipeline.core.evidence import (
    GRAPH_PATH_THAT_COUNTS,
    LEVELS_THAT_COUNT,
    Matching,
    is_nothing,
    matches,
    window_of,
)
from pipeline.core.model import Assignment, Behavior, Evidence, GraphRequest, Risk
from pipeline.core.policy import AllowEntry, Policy, Reason


class Bar(StrEnum):
    """What keeps a fact from counting."""

    TOO_EARLY = "too_early"
    TOO_LATE = "too_late"
    LEVEL = "level"
    NAMES_NOBODY = "names_nobody"
    OTHER_NAME = "other_name"
    OTHER_OBJECT = "other_object"
    OTHER_PATH = "other_path"
    CROWDED_OUT = "crowded_out"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that keeps a fact from counting.

    Attributes:
        bar: What it is.
        beyond: Ticks outside of the window, for TOO_EARLY and TOO_LATE.
        column: Which column of the fact was looked at.
        theirs: What it says.
        ours: What would count.
    """

    bar: Bar
    beyond: int = 0
    column: str = ""
    theirs: str = ""
    ours: tuple[str, ...] = ()


class EntryBar(StrEnum):
    """What keeps an allow-list entry about this actor from taking a reason away."""

    NOT_YET = "not_yet"
    EXPIRED = "expired"
    OTHER_TENANT = "other_tenant"
    OTHER_REASON = "other_reason"


@dataclass(frozen=True, slots=True)
class EntryObstacle:
    """One thing that keeps an entry from taking a reason; `by` is in ticks, for the two of time."""

    bar: EntryBar
    by: int = 0


_ALWAYS: Final = (EventTime(-(10**19)), EventTime(10**19))


def obstacles(assignment: Assignment, fact: Evidence, policy: Policy) -> tuple[Obstacle, ...]:
    """Say what keeps a fact of the same tenant from being evidence; nothing when it is."""
    found = list(_of_time(assignment, fact, policy))
    if not matches(assignment, fact, policy.matching):
        found += _of_matching(assignment, fact, policy.matching)
    return tuple(found)


def is_about(entry: AllowEntry, assignment: Assignment) -> bool:
    """Tell whether an entry names the actor or the partner, whatever else it says."""
    since, until = _ALWAYS
    unbound = replace(
        entry, reasons=frozenset(Reason), tenants=frozenset(), since=since, until=until
    )
    return any(unbound.takes(reason, assignment, EventTime(0)) for reason in Reason)


def entry_obstacles(
    entry: AllowEntry, reason: Reason, tenant_id: str, event_time: EventTime
) -> tuple[EntryObstacle, ...]:
    """Say what keeps an entry that is about the actor from taking a reason away."""
    found = []
    if event_time < entry.since:
        found.append(EntryObstacle(EntryBar.NOT_YET, entry.since - event_time))
    if event_time >= entry.until:
        found.append(EntryObstacle(EntryBar.EXPIRED, event_time - entry.until))
    if entry.tenants and tenant_id not in entry.tenants:
        found.append(EntryObstacle(EntryBar.OTHER_TENANT))
    if reason not in entry.reasons:
        found.append(EntryObstacle(EntryBar.OTHER_REASON))
    return tuple(found)


def _of_time(assignment: Assignment, fact: Evidence, policy: Policy) -> Iterator[Obstacle]:
    first, last = window_of(fact, policy.windows).around(assignment.event_time)
    if fact.event_time < first:
        yield Obstacle(Bar.TOO_EARLY, beyond=first - fact.event_time)
    if fact.event_time > last:
        yield Obstacle(Bar.TOO_LATE, beyond=fact.event_time - last)


def _of_matching(assignment: Assignment, fact: Evidence, matching: Matching) -> Iterator[Obstacle]:
    match fact, matching:
        case GraphRequest(), _:
            yield from _of_request(assignment, fact, matching)
        case Risk(), Matching.FAITHFUL:
            if fact.level not in LEVELS_THAT_COUNT:
                levels = tuple(sorted(LEVELS_THAT_COUNT))
                yield Obstacle(Bar.LEVEL, column="RiskLevel", theirs=fact.level, ours=levels)
            yield from _of_name("AccountUpn", fact.account_upn, (assignment.identity,))
        case Behavior(), Matching.FAITHFUL:
            yield from _of_name("AccountName", fact.account_name, (assignment.identity,))
        case _:
            yield from _of_identity(assignment, fact)


def _of_identity(assignment: Assignment, fact: Risk | Behavior) -> Iterator[Obstacle]:
    names = tuple(dict.fromkeys((assignment.identity, assignment.actor.upn)))
    if is_nothing(fact.upn):
        yield Obstacle(Bar.NAMES_NOBODY, column="UPN", theirs=fact.upn, ours=names)
    else:
        yield Obstacle(Bar.OTHER_NAME, column="UPN", theirs=fact.upn, ours=names)
    ours = assignment.actor.object_id
    if fact.object_id and ours:
        yield Obstacle(
            Bar.OTHER_OBJECT, column="AccountObjectId", theirs=fact.object_id, ours=(ours,)
        )


def _of_name(column: str, theirs: str, ours: Sequence[str]) -> Iterator[Obstacle]:
    """Compare as the seed does: exactly, and "" never."""
    if not theirs:
        yield Obstacle(Bar.NAMES_NOBODY, column=column, ours=tuple(ours))
    elif theirs not in ours:
        yield Obstacle(Bar.OTHER_NAME, column=column, theirs=theirs, ours=tuple(ours))


def _of_request(
    assignment: Assignment, fact: GraphRequest, matching: Matching
) -> Iterator[Obstacle]:
    ours, theirs = assignment.correlation_id, fact.client_request_id
    if matching is Matching.FAITHFUL:
        yield from _of_name("ClientRequestId", theirs, (ours,))
        return
    if GRAPH_PATH_THAT_COUNTS not in fact.uri.lower():
        counts = (GRAPH_PATH_THAT_COUNTS,)
        yield Obstacle(Bar.OTHER_PATH, column="RequestUri", theirs=fact.uri, ours=counts)
    if is_nothing(ours):
        yield Obstacle(Bar.NAMES_NOBODY, column="ClientRequestId", theirs=theirs, ours=(ours,))
    elif ours.lower() != theirs.lower():
        yield Obstacle(Bar.OTHER_NAME, column="ClientRequestId", theirs=theirs, ours=(ours,))
