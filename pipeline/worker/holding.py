"""Between an agent and its stage: wait while the world is away, end on anything unforeseen."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import structlog

from pipeline.adapters.metrics import Metrics
from pipeline.core.errors import BrokerUnavailable, LostOwnership, StoreUnavailable
from pipeline.reader.batch import RecordBatch

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 3.0
SPEAKS_EVERY: Final = 10.0
"""Seconds between two lines of log about the same wait."""

Stage = Callable[[RecordBatch], Awaitable[bool]]
"""Makes all effects of a batch durable; false when the batch is not ours any more."""

_log = structlog.get_logger()


class Holding:
    """Hands batches to a stage; nothing but a crash of the worker comes out of it.

    While the store or the broker is away the batch is held and tried again whole, which does no
    harm. A batch that is lost or stale is dropped without being acknowledged.

    Args:
        name: Of the agent.
        stage: What to hand the batches to.
        in_doubt: Set when our ownership is in doubt: the group has to be joined anew.
        crash: Ends the worker.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        name: str,
        stage: Stage,
        *,
        in_doubt: asyncio.Event,
        crash: Callable[[BaseException], Awaitable[None]],
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._stage = stage
        self._in_doubt = in_doubt
        self._crash = crash
        self._metrics = metrics
        self._clock = clock
        self._stopping = asyncio.Event()
        self._held_at = float("-inf")
        self._holds_since: float | None = None
        self._spoke_at = float("-inf")

    async def __call__(self, batch: RecordBatch) -> None:
        """Let the stage handle a batch, for as long as it takes, and acknowledge it."""
        began = self._clock()
        try:
            end = await self._handle(batch)
            if end != "acknowledged":
                batch.drop()
        except LostOwnership as error:
            batch.drop()
            _log.warning("ownership.lost", batch=str(batch), error=str(error))
            self._metrics.ownership_lost()
            self._in_doubt.set()
            end = "lost"
        except Exception as error:
            await self._crash(error)
            raise
        self._metrics.batch_ended(self._name, end, self._clock() - began)

    def stop(self) -> None:
        """Wait for nothing any more: a batch that is held is dropped."""
        self._stopping.set()

    def held_within(self, seconds: float) -> bool:
        """Tell whether a batch is being held, or was so short a time ago."""
        return self._holds_since is not None or self._clock() - self._held_at < seconds

    @property
    def held_for(self) -> float:
        """For how many seconds the batch in hand has been held; 0 when it is not."""
        return 0.0 if self._holds_since is None else self._clock() - self._holds_since

    async def _handle(self, batch: RecordBatch) -> str:
        self._spoke_at = float("-inf")
        if not await batch.ready():
            return "stale"
        try:
            for pause in pauses():
                try:
                    if not await self._stage(batch):
                        self._tell_of_end("batch.dropped", batch)
                        return "stale"
                except (StoreUnavailable, BrokerUnavailable) as error:
                    self._hold(batch, error)
                else:
                    batch.done()
                    self._tell_of_end("batch.resumed", batch)
                    return "acknowledged"
                if await self._is_stopping_after(pause) or not await batch.ready():
                    self._tell_of_end("batch.dropped", batch)
                    return "dropped"
            raise AssertionError("pauses do not end")
        finally:
            if self._holds_since is not None:
                self._holds_since, self._held_at = None, self._clock()
            self._metrics.went_on(self._name)

    def _hold(self, batch: RecordBatch, error: StoreUnavailable | BrokerUnavailable) -> None:
        """Note that a batch waits, and say so now and then."""
        now = self._clock()
        if self._holds_since is None:
            self._holds_since = now
        on = "store" if isinstance(error, StoreUnavailable) else "broker"
        self._metrics.waited(self._name, on)
        if now - self._spoke_at >= SPEAKS_EVERY:
            self._spoke_at = now
            _log.warning(f"{on}.unavailable", batch=str(batch), error=str(error))

    def _tell_of_end(self, event: str, batch: RecordBatch) -> None:
        """Say that a batch waits no longer, if it did."""
        if self._holds_since is not None:
            _log.info(event, batch=str(batch), seconds=round(self.held_for, 3))

    async def _is_stopping_after(self, pause: float) -> bool:
        try:
            async with asyncio.timeout(pause):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True


def pauses() -> Iterator[float]:
    """Yield how long to wait before each further try, for ever: doubling, with jitter."""
    longest = FIRST_PAUSE
    while True:
        yield random.uniform(longest / 2, longest)  # noqa: S311 - spreads retries, hides nothing
        longest = min(longest * 2, LONGEST_PAUSE)
