"""How far each partition of the sources has been read, shared by all workers in Redis.

    {<base>}/reach/<topic>/<partition>   when a record was last read, and what has been read to

Its owner alone writes it, every few seconds, by the clock of the server, which all share. It is no
fact and no mark: nothing is decided by it, a flush loses nothing that is not there again with the
next writing.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from redis.asyncio import Redis

from pipeline.adapters.redis_client import where
from pipeline.adapters.redis_marks import time_of
from pipeline.adapters.redis_pipelines import Command, call
from pipeline.core.errors import StoreUnavailable
from pipeline.core.event_time import EventTime
from pipeline.ports import Reach

KEPT_FOR: Final = timedelta(days=90)
"""How long it is known when a source that nobody reads any more was last heard of."""

Place = tuple[str, int]
"""A topic and a partition."""

_TIME: Final[Command] = ("INFO", "server")
_TICKS_A_MILLISECOND: Final = 10_000


class Told(NamedTuple):
    """What was answered: the time of the server, and how far all have read as it was written."""

    now: EventTime
    reaches: dict[Place, Reach]


class RedisReaches:
    """The reaches of one base.

    Args:
        client: A client that returns bytes; is not closed.
        base: What the operator calls the namespace.
    """

    def __init__(self, client: Redis, base: str) -> None:
        self._client = client
        self._base = base

    async def exchange(self, ours: Mapping[Place, Reach], asked: Sequence[Place]) -> Told:
        """Write how far we have read, then read how far all have, in one round trip.

        Raises:
            StoreUnavailable: the server does not answer, or holds what cannot be read.
        """
        seconds = int(KEPT_FOR.total_seconds())
        writes: list[Command] = [
            ("SET", self._name(place), _written(reach), "EX", seconds)
            for place, reach in ours.items()
        ]
        reads: list[Command] = [("GET", self._name(place)) for place in asked]
        *replies, told = await call(self._client, [*writes, *reads, _TIME])
        return Told(
            EventTime(time_of(self._client, told) * _TICKS_A_MILLISECOND),
            {
                place: self._read(place, content)
                for place, content in zip(asked, replies[len(writes) :], strict=True)
            },
        )

    def _name(self, place: Place) -> str:
        topic, partition = place
        return f"{{{self._base}}}/reach/{topic}/{partition}"

    def _read(self, place: Place, content: bytes | None) -> Reach:
        if content is None:
            return Reach()
        try:
            last_record_at, read_to = (
                None if text == b"-" else EventTime(int(text)) for text in content.split(b" ")
            )
        except ValueError:
            raise StoreUnavailable(
                f"{where(self._client)}: {self._name(place)}: holds {content[:40]!r}: "
                "find out who else writes there"
            ) from None
        return Reach(last_record_at, read_to)


def _written(reach: Reach) -> str:
    times = (reach.last_record_at, reach.read_to)
    return " ".join("-" if one is None else str(one) for one in times)
