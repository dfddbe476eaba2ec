"""At every take-over and reload, ask for the evaluation of all that is stored.

The policy may be another than that by which it was judged last. Asking at a start alone would not
do: while workers of two policies run side by side, one of the former policy may decide last. When
it leaves, its partitions are taken over, and asked for again; see also `reloading`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog

from pipeline.core.errors import BrokerUnavailable, StoreUnavailable
from pipeline.core.model import AssignmentId
from pipeline.ports import FactStore, RequestSink
from pipeline.reader.batch import Partition
from pipeline.stages.request import request_stored
from pipeline.worker.holding import SPEAKS_EVERY, pauses

_log = structlog.get_logger()


class Asking:
    """Requests the evaluation of every stored assignment, of some partitions or of all.

    Args:
        facts: What is stored.
        requests: Where the requests go.
        partition_of: The evaluations partition of an assignment.
    """

    def __init__(
        self,
        facts: FactStore,
        requests: RequestSink,
        partition_of: Callable[[AssignmentId], int],
    ) -> None:
        self._facts = facts
        self._requests = requests
        self._partition_of = partition_of
        self._due: set[int] = set()
        self._all_due = False
        self._news = asyncio.Event()

    def taken_over(self, partitions: Iterable[Partition]) -> None:
        """Note partitions of the evaluations topic that have become ours."""
        self._due |= {one.partition for one in partitions}
        self._news.set()

    def everything(self) -> None:
        """Note that every stored assignment is to be asked for, whoever owns its partition."""
        self._all_due = True
        self._news.set()

    async def run(self) -> None:
        """Ask for what is due, for ever; wait while the store or the broker is away."""
        while True:
            await self._news.wait()
            self._news.clear()
            due = None if self._all_due else self._due
            self._due, self._all_due = set(), False
            if due is None or due:
                await self._ask(due)

    async def _ask(self, partitions: set[int] | None) -> None:
        count = "all" if partitions is None else len(partitions)
        spoke_at = float("-inf")
        for pause in pauses():
            try:
                asked = await request_stored(
                    self._facts,
                    self._requests,
                    lambda one: partitions is None or self._partition_of(one) in partitions,
                )
            except (StoreUnavailable, BrokerUnavailable) as error:
                if time.monotonic() - spoke_at >= SPEAKS_EVERY:
                    spoke_at = time.monotonic()
                    _log.warning("evaluations.postponed", error=str(error))
                await asyncio.sleep(pause)
            else:
                _log.info("evaluations.requested", assignments=asked, partitions=count)
                return
