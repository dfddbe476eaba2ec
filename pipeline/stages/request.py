"""Request: ask for the evaluation of what is stored."""

from collections.abc import Callable
from typing import Final

from pipeline.core.model import AssignmentId
from pipeline.ports import FactStore, RequestSink

_AT_ONCE: Final = 500


async def request_stored(
    facts: FactStore,
    requests: RequestSink,
    concerns: Callable[[AssignmentId], bool] = lambda _: True,
) -> int:
    """Ask for the evaluation of every stored assignment that concerns somebody.

    Returns:
        How many were asked for; all requests are durable.

    Raises:
        StoreUnavailable: ask again when the store is back.
        BrokerUnavailable: likewise, for the broker.
    """
    asked, chunk = 0, list[AssignmentId]()
    async for one in facts.assignments():
        if not concerns(one):
            continue
        chunk.append(one)
        if len(chunk) == _AT_ONCE:
            await requests.send(chunk)
            asked, chunk = asked + len(chunk), []
    if chunk:
        await requests.send(chunk)
    return asked + len(chunk)
