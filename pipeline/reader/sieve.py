"""The byte test that the fetcher applies, as the reader needs it."""

from collections.abc import Sequence
from typing import Protocol


class Sieve(Protocol):
    """Tells by bytes alone which values can be dropped without being decoded (law 4)."""

    def spots(self, data: bytes | memoryview) -> Sequence[int]:
        """Return, in ascending order, the end in `data` of every decisive word.

        A value that holds none of them whole can be dropped.
        """
        ...

    def admits(self, value: bytes) -> bool:
        """Tell whether one value holds a decisive word."""
        ...
