"""Whether partitions move: what a watchdog has to know (pure, the clock is an argument)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.reader.batch import Partition
from pipeline.reader.lease import Clock

_LONGEST_LOOP_TURN = 5.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What is to be seen of one partition at a moment.

    Attributes:
        position: Where the next batch begins.
        end: The last stable offset, None before the first fetch.
        polled: Changes with every answer to a fetch.
        is_idle: Whether no batch of it is in the hands of the agent.
        oldest: Since when the agent owes the oldest unfinished batch, on the watch's clock.
    """

    position: int
    end: int | None
    polled: int | None
    is_idle: bool
    oldest: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How long one partition has stood still, in seconds; 0 where it moves.

    Attributes:
        position: Where the next batch begins.
        end: The last stable offset, None before the first fetch.
        unmoved: Since when there is something to read, and neither is it read nor a batch of it
            with the agent.
        unanswered: Since when no batch of it is with the agent, and no fetch is answered.
        unfinished: Since when the agent owes the oldest unfinished batch.
    """

    partition: Partition
    position: int
    end: int | None
    unmoved: float
    unanswered: float
    unfinished: float


class Watch:
    """Compares what it sees with what it saw.

    Time while the broker is away does not count, nor time in which nobody looked because the
    process itself was stopped.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sights: dict[Partition, Sight] = {}
        self._moved_at: dict[Partition, float] = {}
        self._answered_at: dict[Partition, float] = {}
        self._looked_at = self._since = self._together_at = clock()

    def look(self, sights: Mapping[Partition, Sight] | None) -> None:
        """Take in what is to be seen now; None while no take-over is open."""
        now = self._clock()
        if now - self._looked_at > _LONGEST_LOOP_TURN:
            self.hold()
        self._looked_at = now
        for partition in self._sights.keys() - (sights or {}).keys():
            del self._sights[partition]
        if sights is not None:
            self._together_at = now
            for partition, sight in sights.items():
                self._see(partition, sight, now)

    def hold(self) -> None:
        """Count from now on: up to now nothing could move."""
        self._looked_at = self._since = self._together_at = self._clock()
        self._sights.clear()

    @property
    def apart(self) -> float:
        """For how many seconds no take-over has been open."""
        return self._looked_at - self._together_at

    def progress(self) -> Iterator[Progress]:
        """Yield how every partition fared at the last look."""
        for partition, sight in self._sights.items():
            oldest = self._looked_at if sight.oldest is None else sight.oldest
            yield Progress(
                partition,
                sight.position,
                sight.end,
                unmoved=self._looked_at - self._moved_at[partition],
                unanswered=self._looked_at - self._answered_at[partition],
                unfinished=self._looked_at - max(oldest, self._since),
            )

    def _see(self, partition: Partition, sight: Sight, now: float) -> None:
        last = self._sights.get(partition)
        at_end = sight.end is not None and sight.position >= sight.end
        if last is None or last.position != sight.position or at_end or not sight.is_idle:
            self._moved_at[partition] = now
        if last is None or last.polled != sight.polled or not sight.is_idle:
            self._answered_at[partition] = now
        self._sights[partition] = sight
