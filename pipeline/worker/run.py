"""Run one worker as the process: signals, and an end that comes whatever happens."""

import asyncio
import signal
from types import FrameType

import structlog

from pipeline.config import Settings
from pipeline.wiring import Parts, worker_parts
from pipeline.worker.memory import collect_seldom
from pipeline.worker.watchdog import end_hard_after
from pipeline.worker.worker import Worker

_log = structlog.get_logger()


def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, reload the policy on SIGHUP.

    The process ends hard if stopping takes too long.

    Raises:
        ConfigError: settings, policy or topics are wrong.
        Unreachable: the broker or the store does not answer at the start.
        Stuck: something stood still.
    """
    hung_up = asyncio.Event()
    # Before the policy is read, so that a change of it is not missed.
    signal.signal(signal.SIGHUP, lambda *_: hung_up.set())
    parts = worker_parts(settings)
    collect_seldom()
    asyncio.run(_run(settings, parts, hung_up))


async def _run(settings: Settings, parts: Parts, hung_up: asyncio.Event) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()

    # Not asyncio's own handlers: those would wait for a loop that may not turn any more.
    def stop(number: int, _: FrameType | None) -> None:
        if not stopping.is_set():
            _log.info("worker.stopping", signal=signal.Signals(number).name)
            end_hard_after(settings.worker.stop_within, "not stopped in time")
            loop.call_soon_threadsafe(stopping.set)

    def hang_up(*_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(hung_up.set)

    signal.signal(signal.SIGHUP, hang_up)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        await Worker(settings, parts).run(stopping, hung_up)
    finally:
        # Also after a crash: what is left of the process must not hang on a thread.
        end_hard_after(settings.worker.stop_within, "not ended in time")
