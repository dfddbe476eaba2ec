"""Run one rebuild as the process."""

import asyncio
import signal

import structlog

from pipeline.config import Settings
from pipeline.core.errors import MasswatchError
from pipeline.rebuild.history import TopicHistory
from pipeline.rebuild.rebuild import Rebuild, Rebuilt, Report
from pipeline.sources.decode import Decoder
from pipeline.sources.sieve import Sieve
from pipeline.sources.sieving import SievingDecoder
from pipeline.wiring import RebuildParts, rebuild_parts

_log = structlog.get_logger()


class Stopped(MasswatchError):
    """Somebody asked for an end before the end."""


def run_rebuild(settings: Settings, report: Report, *, if_needed: bool) -> Rebuilt | None:
    """Rebuild the facts; see `Rebuild`.

    Raises:
        ConfigError: settings, policy or topics are wrong.
        Unreachable: the broker or the store does not answer.
        Superseded: another rebuild has overtaken this one.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # meant for the worker that started us
    parts = rebuild_parts(settings)
    _log.info("rebuild.policy", policy=parts.policy.digest)
    return asyncio.run(_run(parts, report, if_needed=if_needed))


async def _run(parts: RebuildParts, report: Report, *, if_needed: bool) -> Rebuilt | None:
    policy = parts.policy
    sieve = Sieve(policy.matching)
    decode = SievingDecoder(Decoder(policy.matching, policy.workspaces))

    def history(now_ms: int) -> TopicHistory:
        return TopicHistory(parts.client, parts.topics, parts.since_ms(now_ms), sieve, decode)

    rebuild = Rebuild(
        placement=parts.placement,
        windows=policy.windows,
        history=history,
        requests=parts.requests,
        report=report,
    )
    running = asyncio.create_task(rebuild(if_needed=if_needed))
    # So that the last sign of life is taken back, and others need not wait for it to lapse.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        raise Stopped("rebuild: told to stop: run it again") from None
    finally:
        await parts.close()
