"""Lines of log about what may happen by the thousand: one at once, then one for all in a while."""

import time
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

SPEAKS_EVERY: Final = 10.0
"""Seconds between two lines about the same thing."""

Case = TypeVar("Case")


class Seldom(Generic[Case]):
    """Says of many cases one at once, and the rest together when a while is over.

    Args:
        say: Writes the line: how many cases it stands for, and the worst of them.
        badness: By what one case is worse than another.
        every: Seconds between two lines.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        say: Callable[[int, Case], None],
        badness: Callable[[Case], float],
        *,
        every: float = SPEAKS_EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._badness = badness
        self._every = every
        self._clock = clock
        self._spoke_at = float("-inf")
        self._untold = 0
        self._worst: list[Case] = []

    def tell(self, cases: Iterable[Case]) -> None:
        """Say it of these cases, now or later."""
        for case in cases:
            self._untold += 1
            if not self._worst or self._badness(case) > self._badness(self._worst[0]):
                self._worst = [case]
        self.tell_rest()

    def tell_rest(self) -> None:
        """Say what is still to be said, if it is time; to be called now and then."""
        now = self._clock()
        if not self._untold or now - self._spoke_at < self._every:
            return
        [worst], told = self._worst, self._untold
        self._worst, self._untold, self._spoke_at = [], 0, now
        self._say(told, worst)
