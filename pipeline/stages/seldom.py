"""Lines of log about what may happen by the thousand: one at once, then one for all in a while."""

import time
from collections.abc import Callable
from typing import Final

SPEAKS_EVERY: Final = 10.0
"""Seconds between two lines about the same thing."""


class Seldom:
    """Says which of many occurrences are spoken of, and how many others a line stands for.

    Args:
        every: Seconds between two lines.
        clock: Seconds that never go back.
    """

    def __init__(
        self, every: float = SPEAKS_EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._every = every
        self._clock = clock
        self._spoke_at = float("-inf")
        self._untold = 0

    def tell(self, occurrences: int = 1) -> int | None:
        """Return how many occurrences a line now stands for; None: say nothing yet."""
        self._untold += occurrences
        if self._clock() - self._spoke_at < self._every:
            return None
        told, self._untold, self._spoke_at = self._untold, 0, self._clock()
        return told
