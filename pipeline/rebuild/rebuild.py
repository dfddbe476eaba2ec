"""The rebuild itself: a new namespace, filled from the topics, put in force, and then ready.

The order of the steps is what makes it complete while workers run: the pointer is set before the
end of the topics is looked up. A record that was appended before that end is read here; one that
comes later is fetched by an agent after the pointer was set, and written where it points.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from typing import Final

import structlog

from pipeline.adapters.kafka_slice import Range
from pipeline.adapters.redis_marks import LostMeanwhile, Superseded
from pipeline.adapters.redis_placement import ALIVE_FOR, Placement, Site
from pipeline.core.errors import StoreUnavailable
from pipeline.core.window import Windows
from pipeline.ports import RequestSink
from pipeline.rebuild.history import Harvest, History, beyond
from pipeline.stages.request import request_stored

_BEATS_EVERY: Final = ALIVE_FOR.total_seconds() / 5
_LOOKS_EVERY: Final = 0.5

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the reading of the topics is, in values; the total of a step is an upper bound."""

    step: str
    done: int
    total: int
    facts: int


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did."""

    namespace: str
    former: str | None
    values: int
    facts: int
    assignments: int
    seconds: float
    held_seconds: float


Report = Callable[[Progress], None]


class Rebuild:
    """Fills a new namespace and puts it in force.

    Args:
        placement: Where the facts are in force.
        windows: The windows of the policy.
        history: Looks at the source topics anew, at a time in milliseconds since 1970.
        requests: Where evaluation requests go.
        report: Is told how far it is.
    """

    def __init__(
        self,
        *,
        placement: Placement,
        windows: Windows,
        history: Callable[[int], History],
        requests: RequestSink,
        report: Report,
    ) -> None:
        self._placement = placement
        self._windows = windows
        self._history = history
        self._requests = requests
        self._report = report

    async def __call__(self, *, if_needed: bool = False) -> Rebuilt | None:
        """Rebuild; start over when the store is lost meanwhile.

        Args:
            if_needed: Do nothing when the store is ready; leave it to a rebuild that is alive.

        Returns:
            What was done; None when nothing was needed.

        Raises:
            Superseded: another rebuild put its own namespace in force, and nobody asked
                whether one is needed.
            StoreUnavailable: the store does not answer: rebuild again.
            BrokerUnavailable: likewise.
        """
        while not (if_needed and await self._is_ready_without_us()):
            try:
                return await self._once()
            except LostMeanwhile as error:
                _log.warning("rebuild.started_over", error=str(error))
            except Superseded as error:
                if not if_needed:
                    raise
                _log.warning("rebuild.superseded", error=str(error))
        return None

    async def _is_ready_without_us(self) -> bool:
        while True:
            standing = await self._placement.look()
            if standing.is_ready or not standing.is_being_rebuilt:
                return standing.is_ready
            await asyncio.sleep(_LOOKS_EVERY)

    async def _once(self) -> Rebuilt:
        began = time.monotonic()
        if swept := await self._placement.sweep():
            _log.info("namespaces.swept", keys=swept)
        standing = await self._placement.look()
        site = await self._placement.begin(uuid.uuid4().hex[:12], self._windows)
        _log.info("rebuild.started", namespace=site.namespace, planned=standing.is_ready)
        async with _alive(site), _cleared_up(self._placement, site):
            with closing(self._history(site.began_ms)) as history:
                filling = _Filling(site, history, self._report)
                if standing.is_ready:
                    await filling.catch_up("read before the switch")
                former = await site.put_in_force()
                held_since = time.monotonic()
                if former is not None and not standing.is_ready:
                    # Nobody may read it any more, and the memory is needed.
                    await self._forget(former)
                await filling.catch_up("read after the switch")
            asked = await request_stored(site.facts, self._requests)
            await site.finish()
        ended = time.monotonic()
        rebuilt = Rebuilt(
            namespace=site.namespace,
            former=former,
            values=filling.values,
            facts=filling.facts,
            assignments=asked,
            seconds=ended - began,
            held_seconds=ended - held_since,
        )
        _log.info(
            "rebuild.ended",
            namespace=site.namespace,
            values=filling.values,
            facts=filling.facts,
            assignments=asked,
            seconds=round(rebuilt.seconds, 3),
            held_seconds=round(rebuilt.held_seconds, 3),
        )
        if former is not None and standing.is_ready:
            await self._forget(former)
        return rebuilt

    async def _forget(self, former: str) -> None:
        try:
            deleted = await self._placement.forget(former)
        except StoreUnavailable as error:
            _log.warning("namespace.left", namespace=former, error=str(error), advice="it expires")
        else:
            _log.info("namespace.deleted", namespace=former, keys=deleted)


class _Filling:
    """Reads history into a namespace, a step at a time, each up to the end at its beginning."""

    def __init__(self, site: Site, history: History, report: Report) -> None:
        self.values = 0
        self.facts = 0
        self._site = site
        self._history = history
        self._report = report
        self._read: Sequence[Range] = ()

    async def catch_up(self, step: str) -> None:
        """Read what has been appended up to now and was not read before."""
        frozen = await asyncio.to_thread(self._history.freeze)
        due = [one for one in beyond(frozen, self._read) if len(one)]
        done, total = 0, sum(map(len, due))
        for one in due:
            before = self.values
            await self._fill(one, lambda: self._tell(step, done + self.values - before, total))  # noqa: B023
            done += len(one)
            self._tell(step, done, total)
        self._read = frozen

    async def _fill(self, one: Range, tell: Callable[[], None]) -> None:
        harvests = self._history.read(one)
        while (harvest := await self._next(harvests)) is not None:
            await self._site.facts.add(harvest.facts)
            self.values += harvest.values
            self.facts += len(harvest.facts)
            tell()

    async def _next(self, harvests: Iterator[Harvest]) -> Harvest | None:
        """Read on in a thread, so that signs of life go out while the broker is waited for."""
        reading = asyncio.ensure_future(asyncio.to_thread(next, harvests, None))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            # Whoever closes the history must find nobody reading it.
            self._history.stop()
            await asyncio.wait([reading])
            raise

    def _tell(self, step: str, done: int, total: int) -> None:
        self._report(Progress(step, done, total, self.facts))


@asynccontextmanager
async def _cleared_up(placement: Placement, site: Site) -> AsyncIterator[None]:
    """Delete what was filled in vain, unless workers write there already."""
    try:
        yield
    except BaseException:
        if not site.is_in_force:
            with suppress(StoreUnavailable):  # then the next rebuild sweeps it
                await placement.forget(site.namespace)
        raise


@asynccontextmanager
async def _alive(site: Site) -> AsyncIterator[None]:
    """Let others see that we are alive, so that they leave the store to us."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(_BEATS_EVERY)
            try:
                await site.sign_of_life()
            except StoreUnavailable as error:
                _log.warning("store.unavailable", error=str(error))

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.wait([beating])
        with suppress(StoreUnavailable):  # then the last sign lapses
            await site.last_sign_of_life()
