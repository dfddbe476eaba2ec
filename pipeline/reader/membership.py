"""Our membership of the group: partitions that come and go, and the hooks that follow them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from pipeline.reader.batch import Partition
from pipeline.reader.committing import Answer, Committer
from pipeline.reader.counts import Counts
from pipeline.reader.lease import Clock, Lease
from pipeline.reader.settings import ReaderSettings
from pipeline.reader.takeover import Phase, TakeOver

Hook = Callable[[frozenset[Partition]], Awaitable[None]]

LAST_COMMIT_WITHIN = 2.0
"""Seconds that a commit may take when partitions go: those who wait for them wait for it."""

_STALE_WITHIN = 1.0

_log = structlog.get_logger()


async def nothing(_: frozenset[Partition]) -> None:
    """Do nothing when partitions come or go."""


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Listens to the group: opens a take-over for what is assigned, ends it when it is revoked.

    aiokafka swallows what a listener raises, and sends no heartbeat while `on_partitions_assigned`
    runs. So the opening is a task of its own, and every exception ends up in `crashed`.
    """

    def __init__(  # noqa: PLR0913 - the parts of one reader, put together in one place
        self,
        consumer: AIOKafkaConsumer,
        settings: ReaderSettings,
        *,
        committer: Committer,
        lease: Lease,
        clock: Clock,
        counts: Counts,
        freed: Callable[[], None],
        on_assigned: Hook,
        on_revoked: Hook,
    ) -> None:
        self.take_over: TakeOver | None = None
        self.crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._consumer = consumer
        self._settings = settings
        self._committer = committer
        self._lease = lease
        self._clock = clock
        self._counts = counts
        self._freed = freed
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._opening: asyncio.Task[None] | None = None
        self._in_hook = False

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Keep the partitions still, and begin to open them; aiokafka calls it, and must go on."""
        partitions = frozenset(Partition(*each) for each in assigned)
        self._consumer.pause(*assigned)
        self.take_over = TakeOver(partitions, self._lease, self._clock, self._counts, self._freed)
        self._opening = asyncio.create_task(self._open(self.take_over))
        self._opening.add_done_callback(self._opened)

    async def on_partitions_revoked(self, _: Iterable[TopicPartition]) -> None:
        """Give up what we have; aiokafka calls it, and joins the group again afterwards."""
        try:
            await self.give_up(self._settings.revoke_timeout.total_seconds())
        except Exception as error:
            self._crash(error)
            raise

    async def give_up(self, patience: float) -> None:
        """End the take-over: let running batches end, commit what is done, call the hook.

        Whether we were thrown out of the group is not said; a first commit tells. If so, the
        batches are stale already, and have to learn it before they are waited for.
        """
        take_over, self.take_over = self.take_over, None
        if take_over is None:
            return
        take_over.close()
        try:
            await self._committer.give_up()
            await self._end_opening(patience)
            await self._commit_last(take_over)
            settled = await take_over.settled(patience)
            if not self._committer.waits:
                await self._commit_last(take_over)
        finally:
            take_over.end()
            await self._committer.give_up()
        settled = settled or await take_over.settled(_STALE_WITHIN)
        dropped = sum(len(book) for book in take_over.books.values())
        _log.info(
            "partitions.revoked", partitions=len(take_over.books), dropped=dropped, settled=settled
        )
        await self._on_revoked(take_over.partitions)

    async def _end_opening(self, patience: float) -> None:
        """Let the hook end by itself: a producer opened too late would fence its successor."""
        if self._opening is None:
            return
        if self._in_hook:
            await asyncio.wait({self._opening}, timeout=patience)
        self._opening.cancel()
        await asyncio.wait({self._opening})
        self._opening = None

    async def _commit_last(self, take_over: TakeOver) -> None:
        await self._committer.commit(
            take_over, take_over.uncommitted(), within=LAST_COMMIT_WITHIN, renews=False
        )

    async def _open(self, take_over: TakeOver) -> None:
        self._in_hook = True
        await self._on_assigned(take_over.partitions)
        self._in_hook = False
        ours = [TopicPartition(*partition) for partition in take_over.partitions]
        starts = {Partition(*each): await self._consumer.position(each) for each in ours}
        take_over.begin(starts)
        answer = Answer.NONE
        while ours and take_over.phase is Phase.OPENING and answer is not Answer.TAKEN:
            answer = await self._committer.commit(
                take_over, starts, within=self._settings.commit_timeout.total_seconds()
            )
        take_over.open()
        if take_over.phase is Phase.OPEN:
            self._consumer.resume(*ours)
            self._counts.take_overs += 1
            self._freed()
            _log.info("partitions.taken_over", partitions=len(ours))

    def _opened(self, opening: asyncio.Task[None]) -> None:
        error = None if opening.cancelled() else opening.exception()
        if error is not None:
            self._crash(error)

    def _crash(self, error: BaseException) -> None:
        if not self.crashed.done():
            self.crashed.set_exception(error)
