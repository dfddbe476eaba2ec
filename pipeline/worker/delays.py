"""How long records wait from their append until what follows from them is durable."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

import structlog

from pipeline.adapters.metrics import Metrics
from pipeline.core.event_time import EventTime
from pipeline.ports import Candidate
from pipeline.stages.seldom import Seldom

_TICKS_A_MILLISECOND: Final = 10_000

_log = structlog.get_logger()


class Delays:
    """Measures one step, and says now and then that it takes too long.

    Args:
        step: `observe`, from a source record to its facts and requests; `evaluate`, from a
            request to the verdict, published if it says something new.
        limit: What is too long.
        clock: The time.
        metrics: Where it shows.
        seldom: When to say it.
    """

    def __init__(
        self,
        step: str,
        limit: timedelta,
        clock: Callable[[], EventTime],
        metrics: Metrics,
        seldom: Seldom | None = None,
    ) -> None:
        self._step = step
        self._limit = limit.total_seconds()
        self._clock = clock
        self._metrics = metrics
        self._seldom = Seldom() if seldom is None else seldom

    def ended(self, candidates: Iterable[Candidate]) -> None:
        """Note that all that follows from the candidates is durable."""
        now_ms = self._clock() // _TICKS_A_MILLISECOND
        delayed: list[tuple[float, Candidate]] = []
        for one in candidates:
            if one.timestamp_ms <= 0:  # the record has none
                continue
            seconds = max(0, now_ms - one.timestamp_ms) / 1000
            self._metrics.delayed(self._step, seconds)
            if seconds > self._limit:
                delayed.append((seconds, one))
        if delayed:
            self._tell_of(delayed)

    def _tell_of(self, delayed: list[tuple[float, Candidate]]) -> None:
        told = self._seldom.tell(len(delayed))
        if told is not None:
            seconds, longest = max(delayed, key=lambda one: one[0])
            _log.warning(
                "evaluation.delayed",
                step=self._step,
                records=told,
                seconds=round(seconds, 3),
                position=str(longest.position),
            )
