import asyncio
from collections.abc import Mapping
from datetime import timedelta

from aiokafka import TopicPartition

from pipeline.reader.batch import Partition
from pipeline.reader.committing import Committer
from pipeline.reader.counts import Counts
from pipeline.reader.lease import Lease, boot_clock
from pipeline.reader.membership import Hook, Membership, nothing
from pipeline.reader.records import Sifted
from pipeline.reader.settings import ReaderSettings
from pipeline.reader.takeover import Phase

HERE = Partition("t", 0)


class Group:
    """Stands for the consumer: one partition, and a coordinator that may be away."""

    def __init__(self) -> None:
        self.away = False
        self.commits: list[Mapping[TopicPartition, int]] = []
        self.paused: set[TopicPartition] = set()
        self.cancelled = 0

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused -= set(partitions)

    async def position(self, _: TopicPartition) -> int:
        return 0

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            if self.away:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.commits.append(offsets)


def a_membership(
    group: Group, *, on_assigned: Hook = nothing, on_revoked: Hook = nothing
) -> Membership:
    lease, counts = Lease(7.0), Counts()
    return Membership(
        group,
        ReaderSettings("localhost:9092", "g", revoke_timeout=timedelta(seconds=0.05)),
        committer=Committer(group, lease, counts, boot_clock),
        lease=lease,
        clock=boot_clock,
        counts=counts,
        freed=lambda: None,
        on_assigned=on_assigned,
        on_revoked=on_revoked,
    )


async def turn_over() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_partitions_stand_still_until_the_hook_has_ended_and_a_commit_was_answered() -> None:
    async def act() -> None:
        group, ended = Group(), asyncio.Event()

        async def assigned(_: frozenset[Partition]) -> None:
            await ended.wait()

        membership = a_membership(group, on_assigned=assigned)
        await membership.on_partitions_assigned([TopicPartition(*HERE)])
        await turn_over()
        assert membership.take_over is not None
        assert group.paused == {HERE}
        assert group.commits == []

        ended.set()
        await turn_over()

        assert membership.take_over.phase is Phase.OPEN
        assert group.commits == [{HERE: 0}]
        assert group.paused == set()

    asyncio.run(act())


def test_a_hook_that_does_not_end_is_cancelled_before_the_partitions_go() -> None:
    async def act() -> None:
        seen: list[str] = []

        async def assigned(_: frozenset[Partition]) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                seen.append("cancelled")

        async def revoked(_: frozenset[Partition]) -> None:
            seen.append("revoked")

        membership = a_membership(Group(), on_assigned=assigned, on_revoked=revoked)
        await membership.on_partitions_assigned([TopicPartition(*HERE)])
        await turn_over()

        await membership.on_partitions_revoked([])

        assert seen == ["cancelled", "revoked"]
        assert not membership.crashed.done()

    asyncio.run(act())


def test_what_is_done_is_committed_before_the_partitions_go_and_nothing_afterwards() -> None:
    async def act() -> None:
        group = Group()
        membership = a_membership(group)
        await membership.on_partitions_assigned([TopicPartition(*HERE)])
        await turn_over()
        take_over = membership.take_over
        assert take_over is not None
        first = take_over.hand_out(HERE, Sifted(0, 10, 10, []))
        second = take_over.hand_out(HERE, Sifted(10, 20, 10, []))
        assert await second.ready()
        first.done()

        await membership.on_partitions_revoked([])
        second.done()

        assert group.commits[-1] == {HERE: 10}
        assert take_over.uncommitted() == {}

    asyncio.run(act())


def test_a_last_commit_without_an_answer_does_not_outlive_its_take_over() -> None:
    async def act() -> None:
        group = Group()
        membership = a_membership(group)
        await membership.on_partitions_assigned([TopicPartition(*HERE)])
        await turn_over()
        assert membership.take_over is not None
        membership.take_over.hand_out(HERE, Sifted(0, 10, 10, [])).done()
        group.away = True

        await membership.on_partitions_revoked([])

        assert group.cancelled == 1
        assert group.commits == [{HERE: 0}]

    asyncio.run(act())


def test_what_a_hook_raises_ends_up_with_whoever_runs_the_reader() -> None:
    async def act() -> None:
        error = ValueError("no producer")

        async def fail(_: frozenset[Partition]) -> None:
            raise error

        membership = a_membership(Group(), on_assigned=fail)
        await membership.on_partitions_assigned([TopicPartition(*HERE)])
        await turn_over()

        assert membership.crashed.exception() is error

    asyncio.run(act())
