"""One take-over: the partitions of one assignment, their books, and who may act on them."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from enum import Enum, auto

from pipeline.reader.batch import Partition, RecordBatch
from pipeline.reader.books import Book, Entry
from pipeline.reader.counts import Counts
from pipeline.reader.lease import Clock, Lease
from pipeline.reader.records import Sifted


class Phase(Enum):
    """How far a take-over has come; it never goes back."""

    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()
    OVER = auto()


class TakeOver:
    """Partitions from their assignment until they are revoked, or we are thrown out.

    *Opening*: nothing is handed out yet. *Open*: batches are handed out and acted upon.
    *Closing*: batches that an agent has begun go on, the others are dropped. *Over*: none is
    acted upon any more, and nothing is committed.

    Args:
        partitions: What was assigned.
        lease: The lease of this member of the group.
        clock: The clock of the lease.
        counts: Where the values are counted whose batches were dropped.
        freed: Called when a batch is finished, so that there may be room for another.
    """

    def __init__(
        self,
        partitions: frozenset[Partition],
        lease: Lease,
        clock: Clock,
        counts: Counts,
        freed: Callable[[], None],
    ) -> None:
        self.partitions = partitions
        self.books: dict[Partition, Book] = {}
        self.phase = Phase.OPENING
        self._lease = lease
        self._clock = clock
        self._freed = freed
        self._counts = counts
        self._running: set[_Claim] = set()
        self._last_begun = float("-inf")
        self._changed = asyncio.Event()

    def begin(self, starts: Mapping[Partition, int]) -> None:
        """Begin the books at these offsets."""
        self.books = {partition: Book(start) for partition, start in starts.items()}

    def open(self) -> None:
        """Let batches be handed out, unless the take-over has been closed meanwhile."""
        if self.phase is Phase.OPENING:
            self.phase = Phase.OPEN

    def close(self) -> None:
        """Hand out nothing more, and let only the batches go on that an agent has begun."""
        if self.phase is not Phase.OVER:
            self.phase = Phase.CLOSING
        self.notify()

    def end(self) -> None:
        """Let no batch go on."""
        self.phase = Phase.OVER
        self.notify()

    def notify(self) -> None:
        """Wake whoever waits, since the phase or the lease has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    def room(self, depth: int) -> list[Partition]:
        """Return the partitions of which fewer than `depth` batches are unfinished."""
        if self.phase is not Phase.OPEN:
            return []
        return [partition for partition, book in self.books.items() if len(book) < depth]

    def hand_out(self, partition: Partition, sifted: Sifted) -> RecordBatch:
        """Enter a stretch into its book, and return it as a batch."""
        book = self.books[partition]
        entry = book.give(sifted.next_offset, now=self._clock())
        return RecordBatch(
            *partition,
            sifted.first_offset,
            sifted.next_offset - 1,
            sifted.count,
            tuple(sifted.candidates),
            _Claim(self, partition, len(sifted.candidates), book, entry),
        )

    def oldest(self, partition: Partition) -> float | None:
        """Return since when the agent owes the oldest unfinished batch of a partition."""
        return self.books[partition].oldest(self._last_begun)

    def uncommitted(self) -> dict[Partition, int]:
        """Return what may be committed and is not yet."""
        if self.phase is Phase.OVER:
            return {}
        return {
            partition: book.end
            for partition, book in self.books.items()
            if book.end != book.committed
        }

    def anything_committed(self) -> dict[Partition, int]:
        """Return one offset that is committed already; to commit it again proves membership."""
        return {partition: book.committed for partition, book in list(self.books.items())[:1]}

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Remember what the coordinator has confirmed."""
        for partition, offset in offsets.items():
            self.books[partition].committed = offset

    async def settled(self, timeout: float) -> bool:  # noqa: ASYNC109 - ends early with the lease
        """Wait until no batch is being acted upon, for so long at most.

        A batch whose lease has lapsed waits itself, so it is waited for only once it has been
        told that the take-over is over.
        """
        deadline = self._clock() + timeout
        while self._running:
            left = deadline - self._clock()
            if self.phase is not Phase.OVER:
                left = min(left, self._lease.left)
            if left <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()
        return True

    async def ready(self, claim: "_Claim") -> bool:
        """Answer for one batch: see `RecordBatch.ready`."""
        if claim.entry.begun_at is None:
            claim.entry.begun_at = self._last_begun = self._clock()
        while not self._is_lost(claim):
            if self._lease.holds:
                self._running.add(claim)
                return True
            await self._changed.wait()
        self._leave(claim)
        return False

    def done(self, claim: "_Claim") -> None:
        """Enter into the book that a batch is done."""
        claim.book.done(claim.entry)
        self._leave(claim)

    def drop(self, claim: "_Claim") -> None:
        """Wait for a batch no longer; its book goes on no further."""
        self._counts.of(claim.partition).dropped += claim.values
        self._leave(claim)

    def _is_lost(self, claim: "_Claim") -> bool:
        if self.phase is Phase.CLOSING:
            return claim not in self._running
        return self.phase is Phase.OVER

    def _leave(self, claim: "_Claim") -> None:
        self._running.discard(claim)
        self.notify()
        self._freed()


class _Claim:
    """The claim on one batch of a take-over."""

    __slots__ = ("_take_over", "book", "entry", "partition", "values")

    def __init__(
        self, take_over: TakeOver, partition: Partition, values: int, book: Book, entry: Entry
    ) -> None:
        self._take_over = take_over
        self.partition = partition
        self.values = values
        self.book = book
        self.entry = entry

    async def ready(self) -> bool:
        return await self._take_over.ready(self)

    def done(self) -> None:
        self._take_over.done(self)

    def drop(self) -> None:
        self._take_over.drop(self)
