"""How long a member of the group may believe that its partitions are its own."""

import time
from collections.abc import Callable

Clock = Callable[[], float]

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_clock() -> float:
    """Return seconds that run on while the machine sleeps, where it has such a clock."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """Holds for `duration` from the sending of the last request that proved our membership.

    The coordinator gives a member's partitions away at the earliest one session after it last
    answered that member, so a lease shorter than the session ends before another reader begins.
    """

    def __init__(self, duration: float, clock: Clock = boot_clock) -> None:
        self._duration = duration
        self._clock = clock
        self._until = float("-inf")

    def renew(self, sent_at: float) -> None:
        """Count from the sending of a commit that the coordinator has answered since."""
        self._until = max(self._until, sent_at + self._duration)

    def end(self) -> None:
        """Let the lease end now, since the coordinator does not know us any more."""
        self._until = float("-inf")

    @property
    def left(self) -> float:
        """For how many seconds effects are still allowed, or less than 0."""
        return self._until - self._clock()

    @property
    def holds(self) -> bool:
        """Whether effects are allowed at this moment."""
        return self.left > 0
