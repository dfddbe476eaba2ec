"""At every start, ask for the evaluation of all that is stored: the policy may have changed."""

import asyncio

import structlog

from pipeline.core.errors import BrokerUnavailable, StoreUnavailable
from pipeline.core.model import AssignmentId
from pipeline.ports import FactStore, RequestSink
from pipeline.worker.holding import pauses

_AT_ONCE = 500

_log = structlog.get_logger()


async def ask_for_all(facts: FactStore, requests: RequestSink) -> None:
    """Request an evaluation of every stored assignment; wait while something is away."""
    for pause in pauses():
        try:
            asked = await _ask_once(facts, requests)
        except (StoreUnavailable, BrokerUnavailable) as error:
            _log.warning("evaluations.postponed", error=str(error))
            await asyncio.sleep(pause)
        else:
            _log.info("evaluations.requested", assignments=asked)
            return


async def _ask_once(facts: FactStore, requests: RequestSink) -> int:
    asked, chunk = 0, list[AssignmentId]()
    async for one in facts.assignments():
        chunk.append(one)
        if len(chunk) == _AT_ONCE:
            await requests.send(chunk)
            asked, chunk = asked + len(chunk), []
    await requests.send(chunk)
    return asked + len(chunk)
