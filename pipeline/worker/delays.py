"""How long records wait from their append until what follows from them is durable."""

import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from pipeline.adapters.metrics import Metrics
from pipeline.core.event_time import EventTime
from pipeline.ports import Candidate
from pipeline.stages.seldom import Seldom

_TICKS_A_MILLISECOND: Final = 10_000

_log = structlog.get_logger()


class _Delayed(NamedTuple):
    seconds: float
    candidate: Candidate


class Delays:
    """Measures one step, and says now and then that it takes too long.

    Args:
        step: `observe`, from a source record to its facts and requests; `evaluate`, from a
            request to the verdict, published if it says something new.
        limit: What is too long.
        clock: The time.
        metrics: Where it shows.
        speaks: Seconds that never go back, to say it now and then.
    """

    def __init__(
        self,
        step: str,
        limit: timedelta,
        clock: Callable[[], EventTime],
        metrics: Metrics,
        *,
        speaks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._step = step
        self._limit = limit.total_seconds()
        self._clock = clock
        self._metrics = metrics
        self._seldom = Seldom(self._say, lambda one: one.seconds, clock=speaks)

    def ended(self, candidates: Iterable[Candidate]) -> None:
        """Note that all that follows from the candidates is durable."""
        now_ms = self._clock() // _TICKS_A_MILLISECOND
        delayed: list[_Delayed] = []
        for one in candidates:
            if one.timestamp_ms <= 0:  # the record has none
                continue
            seconds = max(0, now_ms - one.timestamp_ms) / 1000
            self._metrics.delayed(self._step, seconds)
            if seconds > self._limit:
                delayed.append(_Delayed(seconds, one))
        self._seldom.tell(delayed)

    def tell_rest(self) -> None:
        """Say what was to be said later, if it is time."""
        self._seldom.tell_rest()

    def _say(self, records: int, longest: _Delayed) -> None:
        _log.warning(
            "evaluation.delayed",
            step=self._step,
            records=records,
            seconds=round(longest.seconds, 3),
            position=str(longest.candidate.position),
        )
