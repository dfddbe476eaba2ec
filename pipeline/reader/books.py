"""What may be committed: one book for each partition and take-over."""

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Entry:
    """One batch in a book: where it ends, when it was given out and begun, whether it is done."""

    end: int
    given_at: float
    begun_at: float | None = None
    done: bool = False


class Book:
    """The batches of one partition, in the order they were given out, from one take-over on.

    `end` is the offset that may be committed: everything before it is done. It never passes a
    batch that is not done, and reaches `next` when all are. `next` is where the next batch is
    expected to begin, `committed` what the coordinator has confirmed.
    """

    def __init__(self, start: int) -> None:
        self.end = start
        self.next = start
        self.committed = start
        self._entries: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def give(self, end: int, *, now: float) -> Entry:
        """Enter the next batch, which ends before `end`."""
        entry = Entry(end, now)
        self._entries.append(entry)
        self.next = end
        return entry

    def skip(self, end: int) -> None:
        """Enter a stretch in which there is nothing to do, up to `end`."""
        self.next = end
        if self._entries:
            self._entries[-1].end = end
        else:
            self.end = end

    def done(self, entry: Entry) -> None:
        """Mark a batch done; in any order, and once more without effect."""
        entry.done = True
        while self._entries and self._entries[0].done:
            self.end = self._entries.popleft().end

    def oldest(self, last_begun: float) -> float | None:
        """Return when the oldest batch that is not done was begun; None when all are done.

        One that waits for its turn counts from when the agent last began any: while the agent
        begins others, nothing stands still.
        """
        return min(
            (
                max(entry.given_at, last_begun) if entry.begun_at is None else entry.begun_at
                for entry in self._entries
                if not entry.done
            ),
            default=None,
        )
