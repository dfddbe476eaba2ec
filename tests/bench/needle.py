"""What every way of reading looks for, and what it decodes; needs nothing but the decoder."""

import time
from typing import Final

from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored

from .measure import own_cpu
from .result import WARM_UP, Used, hand_over

NEEDLE: Final = b"MobileAppAssignment"

_DECODE: Final = Decoder()


def hits_in(value: bytes) -> int:
    """Return how many records of a value are ignored when it is decoded; 0 without the needle."""
    if NEEDLE not in value:
        return 0
    return sum(isinstance(one.decoded, Ignored) for one in _DECODE(value))


class Guest:
    """Counts for a library that calls once for each value: from its warm-up on, to the last one.

    Args:
        records: How many to measure, after those of the warm-up.
    """

    def __init__(self, records: int) -> None:
        self._records = records
        self._hits = self._seen = 0
        self._began = Used(0.0, 0.0)

    def take(self, value: bytes) -> bool:
        """Test and decode a value; true when it was the last, and all has been handed over."""
        self._seen += 1
        self._hits += hits_in(value)
        if self._seen == WARM_UP:
            self._began, self._hits = Used(own_cpu(), time.perf_counter()), 0
        elif self._seen == WARM_UP + self._records:
            ended = Used(own_cpu(), time.perf_counter())
            hand_over(self._began, ended, records=self._records, hits=self._hits)
            return True
        return False
