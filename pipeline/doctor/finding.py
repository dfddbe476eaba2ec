"""What an examination finds, and what all of it comes to."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pipeline.adapters.not_reached import NotReached


class Level(StrEnum):
    """How grave a finding is, the gravest first.

    A fault stops alerts, loses records or will; a warning turns into one if it is left; a note
    wants a person's eye.
    """

    FAULT = "fault"
    WARNING = "warning"
    NOT_CHECKED = "not checked"
    NOTE = "note"
    OK = "ok"


class Area(StrEnum):
    """What a finding is about."""

    SETTINGS = "settings"
    POLICY = "policy"
    BROKER = "broker"
    TOPICS = "topics"
    GROUPS = "groups"
    LAG = "lag"
    DEAD_LETTERS = "dead letters"
    REDIS = "redis"
    STORE = "store"
    PERMISSIONS = "permissions"
    CLOCK = "clock"
    WORKER = "worker"


class Cause(StrEnum):
    """What of the exit code follows from a fault."""

    STATE = "state"
    SETTINGS = "settings"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Finding:
    """Where, what, and what to do; nothing is to be done where `remedy` is empty."""

    level: Level
    area: Area
    where: str
    what: str
    remedy: str = ""
    cause: Cause = Cause.STATE


_LEVELS: Final = list(Level)
_AREAS: Final = list(Area)


def ok(area: Area, where: str, what: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(Level.OK, area, where, what)


def away(area: Area, seen: NotReached) -> Finding:
    """Say that a server was not reached."""
    cause = Cause.SETTINGS if seen.is_refused else Cause.AWAY
    return Finding(Level.FAULT, area, seen.where, seen.what, seen.remedy, cause)


def unchecked(area: Area, where: str, why: str, remedy: str = "") -> Finding:
    """Say that something was not checked, and why."""
    return Finding(Level.NOT_CHECKED, area, where, why, remedy)


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings with the gravest first, and each level by area."""
    return tuple(
        sorted(findings, key=lambda one: (_LEVELS.index(one.level), _AREAS.index(one.area)))
    )


def verdict(findings: Sequence[Finding]) -> str:
    """Say in one line what findings come to."""
    counts = counted(findings)
    told = [
        _number(counts[Level.FAULT], "fault"),
        _number(counts[Level.WARNING], "warning"),
        f"{counts[Level.NOT_CHECKED]} not checked" if counts[Level.NOT_CHECKED] else "",
        _number(counts[Level.NOTE], "note"),
    ]
    rest = ", ".join(part for part in told if part)
    if counts[Level.FAULT] or counts[Level.WARNING]:
        return rest
    checks = f"{_number(counts[Level.OK], 'check') or 'no checks'} right"
    return f"all well: {checks}, {rest}" if rest else f"all well: {checks}"


def counted(findings: Iterable[Finding]) -> Counter[Level]:
    """Count findings by level."""
    return Counter(one.level for one in findings)


def causes(findings: Iterable[Finding]) -> frozenset[Cause]:
    """Return what the faults among findings come from."""
    return frozenset(one.cause for one in findings if one.level is Level.FAULT)


def _number(count: int, one: str) -> str:
    return f"{count} {one if count == 1 else one + 's'}" if count else ""
