"""Keeps aiokafka's log readable while a broker is away: it repeats itself by the thousand."""

import logging
import sys
from collections import Counter

from pipeline.reader.lease import Clock, boot_clock


class Throttle(logging.Filter):
    """Lets one line of a kind pass in each interval, with the number of those kept back."""

    def __init__(self, interval: float, clock: Clock = boot_clock) -> None:
        super().__init__()
        self._interval = interval
        self._clock = clock
        self._next: dict[tuple[str, str], float] = {}
        self._kept_back: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide on one line; lines of a kind have their template in common."""
        kind = (record.name, str(record.msg))
        now = self._clock()
        if now < self._next.get(kind, now):
            self._kept_back[kind] += 1
            return False
        self._next[kind] = now + self._interval
        if kept_back := self._kept_back.pop(kind, 0):
            record.msg = f"{record.msg} ({kept_back} more like this were kept back)"
        return True


def throttle_aiokafka(interval: float = 10.0) -> None:
    """Throttle what every loaded module of aiokafka logs; more than once without effect."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "aiokafka"]:
        logger = logging.getLogger(name)
        if not any(isinstance(each, Throttle) for each in logger.filters):
            logger.addFilter(Throttle(interval))
