"""The reader: Kafka in, batches out, offsets committed once their effects are durable."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from pipeline.ports import Sieve
from pipeline.reader.aiokafka_parts import client, fetched
from pipeline.reader.batch import Partition, RecordBatch
from pipeline.reader.committing import Committer
from pipeline.reader.connection import connect, disconnect, refusal
from pipeline.reader.counts import Counts
from pipeline.reader.lease import Clock, Lease, boot_clock
from pipeline.reader.logs import throttle_aiokafka
from pipeline.reader.membership import Hook, Membership, nothing
from pipeline.reader.records import Sifted
from pipeline.reader.settings import ReaderSettings
from pipeline.reader.sifting import Sifter
from pipeline.reader.takeover import Phase, TakeOver
from pipeline.reader.watch import Progress, Sight, Watch

Deliver = Callable[[RecordBatch], Awaitable[None]]

_NOT_OURS = TopicPartition("", 0)
_LOOK_EVERY = 0.5
_ANSWERS_WITHIN = 2.0

_log = structlog.get_logger()


class _Parts(NamedTuple):
    consumer: AIOKafkaConsumer
    committer: Committer
    membership: Membership


class Reader:
    """One member of one consumer group, on one asyncio loop: `start`, then `run`, then `stop`.

    Args:
        settings: How to reach Kafka, and how long things may take.
        topics: The topics to read; they must exist.
        deliver: Takes each batch that has candidates, per partition in order. Waiting in it stops
            the reading of all partitions, so give it a queue without bound: what can be in it is
            bounded by `depth` and one fetch of each partition. The batches without candidates
            are acknowledged here.
        sieve: Lets values through; None lets every value through but tombstones.
        on_assigned: Awaited before any batch of the partitions is handed out. It may take longer
            than the session, and is cancelled when the partitions go before it has ended.
        on_revoked: Awaited when the partitions are gone, after every running batch of them has
            ended or run out of time, and after an `on_assigned` that was cancelled.
        clock: Seconds that never go back.
        counts: What to count on, when this reader follows another; else from nothing.
    """

    def __init__(  # noqa: PLR0913 - the hooks and what tests replace have names and defaults
        self,
        settings: ReaderSettings,
        topics: Sequence[str],
        deliver: Deliver,
        *,
        sieve: Sieve | None,
        on_assigned: Hook = nothing,
        on_revoked: Hook = nothing,
        clock: Clock = boot_clock,
        counts: Counts | None = None,
    ) -> None:
        self.counts = Counts() if counts is None else counts
        self._settings = settings
        self._topics = tuple(topics)
        self._deliver = deliver
        self._sieve = sieve
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._clock = clock
        self._lease = Lease(settings.lease.total_seconds(), clock)
        self._watch = Watch(clock)
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stopped = False
        self._parts: _Parts | None = None

    async def start(self) -> None:
        """Reach the brokers, check the topics and ask to join the group.

        Raises:
            BrokerUnavailable: no broker answers.
            ConfigError: a topic does not exist.
        """
        throttle_aiokafka()
        sifter = Sifter(self._sieve, self._settings.batch_candidates)
        consumer = await connect(self._settings, self._topics, sifter)
        fetched.hand_on_sifted(consumer, self._news.set)
        committer = Committer(consumer, self._lease, self.counts, self._clock)
        membership = Membership(
            consumer,
            self._settings,
            committer=committer,
            lease=self._lease,
            clock=self._clock,
            counts=self.counts,
            freed=self._news.set,
            on_assigned=self._on_assigned,
            on_revoked=self._on_revoked,
        )
        self._parts = _Parts(consumer, committer, membership)
        consumer.subscribe(self._topics, listener=membership)

    async def run(self) -> None:
        """Read until `stop`; while the broker is away hold, and go on when it is back.

        Raises whatever makes going on impossible: a hook's exception, a batch whose checksum is
        wrong, an authorisation that is missing, a dead part of the client. `stop` is to be
        called then too.
        """
        membership = self._started.membership
        tasks = [asyncio.create_task(self._poll()), asyncio.create_task(self._keep())]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            ends: list[asyncio.Future[Any]] = [*tasks, stopping, membership.crashed]
            ended, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                each.result()
        except (GroupAuthorizationFailedError, TopicAuthorizationFailedError) as error:
            raise refusal(error) from error
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.wait((*tasks, stopping))

    async def stop(self) -> None:
        """Hand out nothing more, wait for running batches, commit, leave the group.

        Takes `stop_timeout` at most, and the time of `on_revoked`; more than once without effect.
        """
        self._stopping.set()
        if self._parts is None or self._stopped:
            return
        self._stopped = True
        within = self._settings.stop_timeout.total_seconds()
        deadline = self._clock() + within
        try:
            await self._parts.membership.give_up(patience=within / 3)
        finally:
            await disconnect(self._parts.consumer, within=max(1.0, deadline - self._clock() - 1.0))

    @property
    def partitions(self) -> frozenset[Partition]:
        """The partitions that are being read; none before a take-over is complete."""
        take_over = self._open_take_over()
        return take_over.partitions if take_over else frozenset()

    def progress(self) -> list[Progress]:
        """Return how every partition that is being read fares, as of the last look."""
        return list(self._watch.progress())

    def stuck(self, limit: timedelta) -> list[str]:
        """Say what has stood still for longer than `limit`; a broker that is away is no reason."""
        seconds = limit.total_seconds()
        found = []
        if self._watch.apart > seconds:
            group = self._settings.group_id
            found.append(f"group {group}: no take-over for {self._watch.apart:.0f} s")
        for each in self._watch.progress():
            if each.unmoved > seconds:
                found.append(f"{each.partition}@{each.position}: unread for {each.unmoved:.0f} s")
            if each.unanswered > seconds:
                found.append(f"{each.partition}: no fetch answered for {each.unanswered:.0f} s")
            if each.unfinished > seconds:
                found.append(f"{each.partition}: a batch unfinished for {each.unfinished:.0f} s")
        return found

    @property
    def _started(self) -> _Parts:
        if self._parts is None:
            raise RuntimeError("the reader has not been started")
        return self._parts

    def _open_take_over(self) -> TakeOver | None:
        take_over = self._parts.membership.take_over if self._parts else None
        return take_over if take_over and take_over.phase is Phase.OPEN else None

    async def _poll(self) -> None:
        consumer, _, membership = self._started
        while True:
            self._news.clear()
            take_over = self._open_take_over()
            room = take_over.room(self._settings.depth) if take_over else []
            # Asking for a partition that is not ours tells what the coordinator has to complain of.
            asked = [TopicPartition(*partition) for partition in room] or [_NOT_OURS]
            fetched = await consumer.getmany(*asked, timeout_ms=0)
            if not fetched:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY):
                        await self._news.wait()
            elif take_over is None or take_over is not membership.take_over:
                raise RuntimeError(f"{next(iter(fetched))}: read before it was taken over")
            else:
                for each, stretches in fetched.items():
                    await self._hand_out(take_over, Partition(*each), stretches)

    async def _hand_out(
        self, take_over: TakeOver, partition: Partition, stretches: Sequence[Sifted]
    ) -> None:
        counts = self.counts.of(partition)
        for stretch in stretches:
            if take_over.phase is not Phase.OPEN:
                return
            book = take_over.books[partition]
            if book.next != stretch.first_offset:
                self.counts.resets += 1
                _log.warning(
                    "position.reset",
                    partition=str(partition),
                    expected=book.next,
                    found=stretch.first_offset,
                )
            counts.fetched += stretch.count
            counts.opened += len(stretch.candidates)
            counts.sieved += stretch.count - len(stretch.candidates)
            if stretch.candidates:
                counts.batches += 1
                await self._deliver(take_over.hand_out(partition, stretch))
            else:
                book.skip(stretch.next_offset)

    async def _keep(self) -> None:
        """Commit what is done, renew the lease, and look at how the partitions fare."""
        consumer, committer, _ = self._started
        commits, renewals = self._settings.commit_interval, self._settings.renew_interval
        held = True
        while True:
            await asyncio.sleep(commits.total_seconds() / 4)
            take_over = self._open_take_over()
            if take_over is None:
                if await client.coordinator_answers(consumer, within=_ANSWERS_WITHIN):
                    self._watch.look(None)
                else:
                    self._watch.hold()
                continue
            offsets = take_over.uncommitted()
            since = self._clock() - committer.last_at
            if since >= (commits if offsets else renewals).total_seconds():
                await committer.commit(
                    take_over,
                    offsets or take_over.anything_committed(),
                    within=self._settings.commit_timeout.total_seconds(),
                )
            if held != (self._lease.holds or not take_over.partitions):
                held = not held
                event = "lease.renewed" if held else "lease.lapsed"
                _log.warning(event, group=self._settings.group_id)
            if held:
                self._watch.look(self._sights(take_over))
            else:
                self._watch.hold()

    def _sights(self, take_over: TakeOver) -> dict[Partition, Sight] | None:
        if take_over.phase is not Phase.OPEN:
            return None
        consumer = self._started.consumer
        sights = {}
        for partition, book in take_over.books.items():
            ours = TopicPartition(*partition)
            sights[partition] = Sight(
                position=book.next,
                end=consumer.last_stable_offset(ours),
                polled=consumer.last_poll_timestamp(ours),
                is_idle=len(book) == 0,
                oldest=take_over.oldest(partition),
            )
        return sights
