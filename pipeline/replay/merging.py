"""Partitions merged into one stream by record time, with little of each in memory."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush
from typing import Final, Protocol

from pipeline.adapters.kafka_feed import Place, Recorded

ROOM: Final = 4 * 1024 * 1024
"""Bytes of one partition that wait for the others; one read may go over it."""

_FRAME: Final = 200
"""Bytes that a record takes beside its value, roughly."""


class Feed(Protocol):
    """Hands out the records of some partitions."""

    @property
    def open(self) -> AbstractSet[Place]:
        """The partitions of which more may come."""
        ...

    def more(self, of: AbstractSet[Place]) -> Sequence[Recorded]:
        """Return further records of some partitions, each one's in order; perhaps none yet."""
        ...


def in_time_order(
    feed: Feed, *, stopped: Callable[[], bool] = lambda: False, room: int = ROOM
) -> Iterator[Recorded]:
    """Yield all records: each partition's in its order, and among partitions the earliest first.

    Where the record times of a partition go back, its order comes first: a record never overtakes
    one that lies before it.

    Args:
        feed: Where they come from.
        stopped: Asked while there is something to wait for; true ends it.
        room: Bytes of one partition that may wait for the others.
    """
    waiting = _Waiting(room)
    wanted = set(feed.open)
    while True:
        # The earliest is known once every partition has shown one, or its end.
        while wanted:
            if stopped():
                return
            for one in feed.more(feed.open - waiting.full):
                waiting.put(one)
            wanted = {place for place in wanted if not waiting.has(place)} & feed.open
        if not waiting:
            return
        record = waiting.take_earliest()
        if not waiting.has(record.place) and record.place in feed.open:
            wanted.add(record.place)
        yield record


class _Waiting:
    """Records that wait for those of other partitions; `full` are partitions with no more room."""

    def __init__(self, room: int) -> None:
        self.full: set[Place] = set()
        self._room = room
        self._held: dict[Place, deque[Recorded]] = defaultdict(deque)
        self._sizes: dict[Place, int] = defaultdict(int)
        self._heads: list[tuple[int, Place]] = []

    def __bool__(self) -> bool:
        return bool(self._heads)

    def has(self, place: Place) -> bool:
        return bool(self._held[place])

    def put(self, record: Recorded) -> None:
        place, held = record.place, self._held[record.place]
        if not held:
            heappush(self._heads, (record.time_ms, place))
        held.append(record)
        self._sizes[place] += _size(record)
        if self._sizes[place] > self._room:
            self.full.add(place)

    def take_earliest(self) -> Recorded:
        _, place = heappop(self._heads)
        held = self._held[place]
        record = held.popleft()
        self._sizes[place] -= _size(record)
        # A partition that may go on at once would be held back again at once.
        if self._sizes[place] <= self._room // 2:
            self.full.discard(place)
        if held:
            heappush(self._heads, (held[0].time_ms, place))
        return record


def _size(record: Recorded) -> int:
    return len(record.value or b"") + _FRAME
