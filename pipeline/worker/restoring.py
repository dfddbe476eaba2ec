"""Notices that the store has lost facts, and has them rebuilt if that is this worker's to do.

The rebuild is a process of its own: reading weeks of topics here would starve the event loop,
whose leases and heartbeats others wait for.
"""

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import structlog

from pipeline.adapters.metrics import Metrics
from pipeline.adapters.redis_placement import Standing
from pipeline.core.errors import StoreUnavailable
from pipeline.worker.holding import pauses

REBUILD: Final = (sys.executable, "-m", "pipeline", "rebuild", "--if-needed")

_LOOKS_EVERY: Final = 0.5
_ENDS_WITHIN: Final = 3.0

_log = structlog.get_logger()


class Restoring:
    """Looks at the store all the time, and starts a rebuild when it has lost facts.

    Args:
        look: Looks how the store stands.
        is_ours: Whether this worker, of all, is to start rebuilds.
        metrics: Where it shows.
        command: What rebuilds, and does nothing when nothing is lost.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Standing]],
        is_ours: Callable[[], bool],
        metrics: Metrics,
        command: Sequence[str] = REBUILD,
    ) -> None:
        self._look = look
        self._is_ours = is_ours
        self._metrics = metrics
        self._command = command
        self._lost_at: float | None = None
        self._process: Process | None = None
        self._pauses: Iterator[float] = pauses()
        self._not_before = float("-inf")
        self._is_stopping = False

    async def run(self) -> None:
        """Look and rebuild, for ever."""
        while True:
            self._collect()
            try:
                standing = await self._look()
            except StoreUnavailable:
                # Readiness and held batches say so; there is nothing to rebuild into.
                self._metrics.store_looked_at(is_ready=False)
            else:
                self._note(standing)
                if self._is_due(standing):
                    await self._start()
            await asyncio.sleep(_LOOKS_EVERY)

    async def stop(self) -> None:
        """Start no rebuild any more, and end one that runs; another worker starts it again."""
        self._is_stopping = True
        await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_ENDS_WITHIN):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()

    def _note(self, standing: Standing) -> None:
        self._metrics.store_looked_at(is_ready=standing.is_ready)
        if standing.fault is not None and self._lost_at is None:
            self._lost_at = time.monotonic()
            _log.warning("store.lost", fault=standing.fault, namespace=standing.namespace)
        elif standing.is_ready and self._lost_at is not None:
            seconds = round(time.monotonic() - self._lost_at, 3)
            self._lost_at = None
            _log.info("store.rebuilt", seconds=seconds, namespace=standing.namespace)

    def _is_due(self, standing: Standing) -> bool:
        return (
            not self._is_stopping
            and not standing.is_ready
            and not standing.is_being_rebuilt
            and self._process is None
            and time.monotonic() >= self._not_before
            and self._is_ours()
        )

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=DEVNULL, stdout=DEVNULL
        )
        _log.info("rebuild.requested", pid=self._process.pid)
        if self._is_stopping:  # told so while it was started
            await self._end()

    def _collect(self) -> None:
        """Note how a rebuild has ended; after a failure the next one waits a little."""
        if self._process is None or self._process.returncode is None:
            return
        if self._process.returncode == 0:
            self._metrics.rebuild_ended("done")
            self._pauses, self._not_before = pauses(), float("-inf")
        else:
            self._metrics.rebuild_ended("failed")
            _log.warning("rebuild.failed", exit_code=self._process.returncode)
            self._not_before = time.monotonic() + next(self._pauses)
        self._process = None
