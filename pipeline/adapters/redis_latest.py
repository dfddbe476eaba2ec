"""The event time of each tenant's latest evidence in Redis: a value a kind that only grows.

Nothing in Redis keeps the greater of two values in one command. So a value is swapped for ours,
and who is handed back a later one than it brought puts that one back: as every swap after the
first brings a later value than the one before, the latest stays in the end. A reader in between
finds one that is too early, and so does everybody when a writer dies in between, until a later
fact comes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, assert_never

from pipeline.adapters.redis_keys import Names
from pipeline.adapters.redis_pipelines import Command
from pipeline.adapters.text_packing import Reader, Writer
from pipeline.core.event_time import EventTime
from pipeline.core.model import Assignment, Behavior, Fact, GraphRequest, Risk, Seen
from pipeline.ports import Latest

KINDS: Final = ("risk", "behavior", "graph")
"""The kinds of evidence, as `Latest` has them."""

_REMEMBERED_AT_MOST: Final = 100_000


class KnownLatest(dict[str, EventTime]):
    """What one process knows of the latest evidence, by key."""


class LatestOfTenants:
    """Commands that write and read the latest evidence in one namespace.

    A fact that is no later than what is known costs the renewal of a key, and no swap.

    Args:
        names: Of the keys.
        kept_for: Seconds that a value lives after a fact of its kind was last written.
        known: What is known already; is added to.
    """

    def __init__(self, names: Names, kept_for: int, known: KnownLatest) -> None:
        self._names = names
        self._kept_for = kept_for
        self._known = known

    def of(self, facts: Iterable[Seen[Fact]]) -> dict[str, EventTime]:
        """Return the latest event time among the facts, by the name of its key."""
        latest: dict[str, EventTime] = {}
        for seen in facts:
            kind = _kind_of(seen.fact)
            if kind is not None:
                name = self._names.latest(seen.fact.tenant_id, kind)
                latest[name] = max(seen.fact.event_time, latest.get(name, seen.fact.event_time))
        return latest

    def writes(self, latest: Mapping[str, EventTime]) -> list[Command]:
        """Return a command for each of them."""
        return [
            ("EXPIRE", name, self._kept_for)
            if event_time <= self._known.get(name, event_time - 1)
            else self._swap(name, event_time)
            for name, event_time in latest.items()
        ]

    def swaps(self, latest: Mapping[str, EventTime]) -> list[Command]:
        """Return a command for each of them that writes it, whatever is known."""
        return [self._swap(name, event_time) for name, event_time in latest.items()]

    def to_put_back(
        self, commands: Sequence[Command], replies: Sequence[Any], latest: Mapping[str, EventTime]
    ) -> dict[str, EventTime]:
        """Learn from the replies; return what must be written after them, by its key."""
        if len(self._known) > _REMEMBERED_AT_MOST:
            self._known.clear()
        again: dict[str, EventTime] = {}
        for command, reply, (name, event_time) in zip(
            commands, replies, latest.items(), strict=True
        ):
            if command[0] == "EXPIRE":
                if not reply:  # expired, or deleted by hand
                    self._known.pop(name, None)
                    again[name] = event_time
                continue
            former = None if reply is None else _unpacked(reply)
            if former is not None and former > event_time:
                self._known.pop(name, None)  # it does not stand there any more
                again[name] = former
            else:
                self._known[name] = event_time
        return again

    def reads(self, tenant_ids: Iterable[str]) -> Iterator[Command]:
        """Yield the commands that ask for all kinds of each tenant."""
        for tenant_id in tenant_ids:
            for kind in KINDS:
                yield ("GET", self._names.latest(tenant_id, kind))

    def _swap(self, name: str, event_time: EventTime) -> Command:
        return ("SET", name, _packed(event_time), "EX", self._kept_for, "GET")


def latest_in(replies: Sequence[bytes | None]) -> Latest:
    """Read what was answered of one tenant.

    Raises:
        Unreadable: a value was written by another version, or is damaged.
    """
    return Latest(*(None if one is None else _unpacked(one) for one in replies))


def _kind_of(fact: Fact) -> str | None:
    match fact:
        case Risk():
            return "risk"
        case Behavior():
            return "behavior"
        case GraphRequest():
            return "graph"
        case Assignment():
            return None
        case _:
            assert_never(fact)


def _packed(event_time: EventTime) -> bytes:
    writer = Writer()
    writer.event_time(event_time)
    return writer.done()


def _unpacked(content: bytes) -> EventTime:
    reader = Reader(content)
    event_time = reader.event_time()
    reader.finish()
    return event_time
