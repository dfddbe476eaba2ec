"""Notices that the store has lost facts, and has them rebuilt if that is this worker's to do.

The rebuild is a process of its own: reading weeks of topics here would starve the event loop,
whose leases and heartbeats others wait for.
"""

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import structlog

from pipeline.adapters.metrics import Metrics
from pipeline.adapters.redis_placement import Standing
from pipeline.config import child_environment
from pipeline.core.errors import StoreUnavailable
from pipeline.worker.holding import pauses

REBUILD: Final = (sys.executable, "-m", "pipeline", "rebuild", "--if-needed")

_LOOKS_EVERY: Final = 0.5
_ENDS_WITHIN: Final = 3.0
HUNG_AFTER: Final = 60.0
"""Seconds without a sign of life; a rebuild that waits for the broker gives them."""

_log = structlog.get_logger()


class Restoring:
    """Looks at the store all the time, and starts a rebuild when it has lost facts.

    Args:
        look: Looks how the store stands.
        is_ours: Whether this worker, of all, is to start rebuilds.
        metrics: Where it shows.
        policy: That in force, as it is written; None when no file is. A rebuild goes by it: the
            file may have become another, or a wrong one, since it was read.
        rebuilt: Told when the facts are complete again.
        command: What rebuilds, and does nothing when nothing is lost.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Standing]],
        is_ours: Callable[[], bool],
        metrics: Metrics,
        policy: Callable[[], str | None],
        rebuilt: Callable[[], None],
        command: Sequence[str] = REBUILD,
    ) -> None:
        self._look = look
        self._is_ours = is_ours
        self._metrics = metrics
        self._policy = policy
        self._rebuilt = rebuilt
        self._command = command
        self._seen_alive_at = float("-inf")
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
                self._end_if_hung(standing)
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
            self._rebuilt()

    def _end_if_hung(self, standing: Standing) -> None:
        """Kill a rebuild of ours that gives no sign of life, so that another can be started."""
        now = time.monotonic()
        if self._process is None or standing.is_ready or standing.is_being_rebuilt:
            self._seen_alive_at = now
        elif now - self._seen_alive_at > HUNG_AFTER and self._process.returncode is None:
            _log.warning("rebuild.hung", pid=self._process.pid, seconds=HUNG_AFTER)
            self._process.kill()

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
        written = self._policy()
        if written is None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=DEVNULL, stdout=DEVNULL
            )
        else:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=DEVNULL,
                env=child_environment({"POLICY_FILE": "/dev/stdin"}),
            )
            await _hand_over(self._process, written)
        self._seen_alive_at = time.monotonic()
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


async def _hand_over(process: Process, text: str) -> None:
    """Write a text to a process, which may have ended already."""
    stdin = process.stdin
    if stdin is not None:
        with suppress(BrokenPipeError, ConnectionResetError):  # how it has ended is seen elsewhere
            stdin.write(text.encode())
            await stdin.drain()
            stdin.close()
