import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, TopicAuthorizationFailedError

from pipeline.reader.batch import Partition
from pipeline.reader.committing import Answer, Committer
from pipeline.reader.counts import Counts
from pipeline.reader.lease import Lease
from pipeline.reader.takeover import Phase, TakeOver

HERE = Partition("t", 0)
SOON, LATER = 0.01, 5.0


class Coordinator:
    """Stands for the consumer whose coordinator answers when it is told to, and how."""

    def __init__(self) -> None:
        self.asked: list[Mapping[TopicPartition, int]] = []
        self.away = False
        self.answers = asyncio.Event()
        self.refuses: Exception | None = None

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.asked.append(offsets)
        if self.away:
            await self.answers.wait()
        if self.refuses:
            raise self.refuses


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.coordinator = Coordinator()
        self.counts = Counts()
        self.lease = Lease(7.0, self.clock)
        self.take_over = TakeOver(
            frozenset({HERE}), self.lease, self.clock, self.counts, lambda: None
        )
        self.take_over.begin({HERE: 0})
        self.take_over.open()
        self.committer = Committer(self.coordinator, self.lease, self.counts, self.clock)

    def clock(self) -> float:
        return self.now

    async def commit(self, offset: int, *, within: float = LATER, renews: bool = True) -> Answer:
        return await self.committer.commit(
            self.take_over, {HERE: offset}, within=within, renews=renews
        )

    @property
    def committed(self) -> int:
        return self.take_over.books[HERE].committed


def in_a_world(act: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(5):
            await act(World())

    asyncio.run(run())


def test_an_answered_commit_is_remembered_and_renews_the_lease() -> None:
    async def act(world: World) -> None:
        assert await world.commit(10) is Answer.TAKEN

        assert world.committed == 10
        assert world.lease.left == 7.0
        assert world.counts.commits == 1

    in_a_world(act)


def test_a_commit_while_partitions_are_revoked_does_not_renew_the_lease() -> None:
    async def act(world: World) -> None:
        assert await world.commit(10, renews=False) is Answer.TAKEN

        assert world.committed == 10
        assert not world.lease.holds

    in_a_world(act)


def test_a_refused_commit_ends_the_take_over_and_the_lease() -> None:
    async def act(world: World) -> None:
        await world.commit(10)
        world.coordinator.refuses = CommitFailedError("rebalanced")

        assert await world.commit(20) is Answer.REFUSED

        assert world.take_over.phase is Phase.OVER
        assert not world.lease.holds
        assert world.committed == 10

    in_a_world(act)


def test_a_commit_that_is_answered_late_counts_for_the_lease_from_its_sending() -> None:
    async def act(world: World) -> None:
        world.coordinator.away = True
        assert await world.commit(10, within=SOON) is Answer.NONE
        assert not world.lease.holds

        world.now += 3.0
        world.coordinator.answers.set()

        assert await world.commit(20) is Answer.TAKEN
        assert world.committed == 10
        assert world.lease.left == 4.0
        assert len(world.coordinator.asked) == 1

    in_a_world(act)


def test_a_commit_that_is_given_up_never_comes_through() -> None:
    async def act(world: World) -> None:
        world.coordinator.away = True
        assert await world.commit(10, within=SOON) is Answer.NONE

        await world.committer.give_up()
        world.coordinator.answers.set()
        await asyncio.sleep(SOON)

        assert world.committed == 0
        assert not world.lease.holds
        assert await world.commit(20) is Answer.TAKEN
        assert world.committed == 20

    in_a_world(act)


def test_nothing_is_committed_for_a_take_over_that_is_over() -> None:
    async def act(world: World) -> None:
        world.take_over.end()

        assert await world.commit(10) is Answer.NONE
        assert world.coordinator.asked == []

    in_a_world(act)


def test_any_other_error_is_for_whoever_runs_the_reader() -> None:
    async def act(world: World) -> None:
        world.coordinator.refuses = TopicAuthorizationFailedError("t")

        with pytest.raises(TopicAuthorizationFailedError):
            await world.commit(10)

    in_a_world(act)
