"""How a Redis-compatible server stands, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Lacks:
    """What the user may not do there.

    `commands` are refused, with what the server says; `unknown` could not be asked, for `why`.
    """

    user: str | None
    commands: Mapping[str, str]
    unknown: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Namespaces of facts that are neither in force nor being filled, of the keys looked at."""

    namespaces: Mapping[str, int]
    looked_at: int
    is_all: bool


@dataclass(frozen=True, slots=True)
class RedisStanding:
    """A server that answered.

    Attributes:
        where: Which one, as errors begin.
        info: What INFO says.
        round_trip: The median of some round trips.
        ahead: How far its clock is ahead of ours, half a round trip more or less; None: untold.
        namespace: That of the facts in force.
        fault: Why the facts in force cannot be trusted; None: they can.
        is_being_rebuilt: Whether somebody alive is about it.
        lacks: What our user may not do; None: could not be asked.
        leftovers: What former rebuilds have left; None: could not be asked.
        untold: What could not be learned, and why, by the name of the field above.
    """

    where: str
    info: Mapping[str, Any]
    round_trip: timedelta
    ahead: timedelta | None
    namespace: str | None
    fault: str | None
    is_being_rebuilt: bool
    lacks: Lacks | None
    leftovers: Leftovers | None
    untold: Mapping[str, str]
