"""Commits, each bounded in time, and what their answers say of our membership."""

import asyncio
from collections.abc import Mapping
from enum import Enum, auto

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError

from pipeline.reader.batch import Partition
from pipeline.reader.counts import Counts
from pipeline.reader.lease import Clock, Lease
from pipeline.reader.takeover import Phase, TakeOver

_log = structlog.get_logger()


class Answer(Enum):
    """What became of a commit."""

    TAKEN = auto()
    REFUSED = auto()
    NONE = auto()


class Committer:
    """Commits for one member of the group, one at a time.

    aiokafka tries on for as long as the coordinator is away, under whatever membership it has by
    then. So a commit that is not answered is left to go on, and `give_up` ends it before
    partitions go: none outlives its take-over.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, lease: Lease, counts: Counts, clock: Clock
    ) -> None:
        self.last_at = clock()
        self._consumer = consumer
        self._lease = lease
        self._counts = counts
        self._clock = clock
        self._running: asyncio.Task[Answer] | None = None

    async def commit(
        self,
        take_over: TakeOver,
        offsets: Mapping[Partition, int],
        *,
        within: float,
        renews: bool = True,
    ) -> Answer:
        """Commit the offsets; a refusal ends the take-over and the lease.

        An earlier commit that still has no answer is waited for instead.

        Args:
            take_over: Whose offsets they are.
            offsets: The offsets to read on from.
            within: How many seconds to wait for an answer.
            renews: Whether an answer proves that we are a member for another session; while
                partitions are being revoked it does not.
        """
        if self._running is None:
            if not offsets or take_over.phase is Phase.OVER:
                return Answer.NONE
            self._running = asyncio.create_task(self._commit(take_over, offsets, renews=renews))
        running = self._running
        await asyncio.wait({running}, timeout=within)
        if not running.done():
            self._counts.commits_unanswered += 1
            return Answer.NONE
        self._running = None
        return Answer.NONE if running.cancelled() else running.result()

    @property
    def waits(self) -> bool:
        """Whether a commit has been sent that is not answered yet."""
        return self._running is not None

    async def give_up(self) -> None:
        """Wait no longer for the commit that is running; its outcome is unknown."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
            self._running = None

    async def _commit(
        self, take_over: TakeOver, offsets: Mapping[Partition, int], *, renews: bool
    ) -> Answer:
        sent_at = self._clock()
        target = {TopicPartition(*partition): offset for partition, offset in offsets.items()}
        try:
            await self._consumer.commit(target)
        except CommitFailedError:
            self._counts.commits_refused += 1
            self._lease.end()
            take_over.end()
            _log.warning("commit.refused", offsets=_shown(offsets))
            return Answer.REFUSED
        self._counts.commits += 1
        self.last_at = sent_at
        take_over.committed(offsets)
        if renews:
            self._lease.renew(sent_at)
            take_over.notify()
        return Answer.TAKEN


def _shown(offsets: Mapping[Partition, int]) -> dict[str, int]:
    return {str(partition): offset for partition, offset in offsets.items()}
