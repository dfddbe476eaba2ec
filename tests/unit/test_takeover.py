import asyncio
from collections.abc import Awaitable, Callable

from pipeline.core.model import Position
from pipeline.ports import Candidate
from pipeline.reader.batch import Partition, RecordBatch
from pipeline.reader.counts import Counts
from pipeline.reader.lease import Lease
from pipeline.reader.records import Sifted
from pipeline.reader.takeover import Phase, TakeOver

HERE = Partition("t", 0)


class World:
    """A take-over of one partition, its lease of 7 seconds, and the clock of both."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lease = Lease(7.0, lambda: self.now)
        self.lease.renew(self.now)
        self.freed = 0
        self.counts = Counts()
        self.take_over = TakeOver(
            frozenset({HERE}), self.lease, lambda: self.now, self.counts, self._free
        )
        self.take_over.begin({HERE: 0})
        self.take_over.open()
        self._next = 0

    def batch(self) -> RecordBatch:
        first, self._next = self._next, self._next + 10
        candidate = Candidate(Position(*HERE, first), b"x")
        return self.take_over.hand_out(HERE, Sifted(first, self._next, 10, [candidate]))

    def _free(self) -> None:
        self.freed += 1


def in_a_world(act: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(5):
            await act(World())

    asyncio.run(run())


async def is_waiting(task: asyncio.Task[bool]) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


def test_a_batch_says_where_it_lies() -> None:
    async def act(world: World) -> None:
        world.batch()
        batch = world.batch()

        assert (batch.first_offset, batch.last_offset, batch.count) == (10, 19, 10)
        assert str(batch) == "t[0]@10..19"

    in_a_world(act)


def test_what_is_done_may_be_committed_until_the_take_over_is_over() -> None:
    async def act(world: World) -> None:
        world.batch().done()
        assert world.take_over.uncommitted() == {HERE: 10}

        world.take_over.committed({HERE: 10})
        assert world.take_over.uncommitted() == {}

        world.batch().done()
        world.take_over.end()
        assert world.take_over.uncommitted() == {}

    in_a_world(act)


def test_a_batch_waits_while_the_lease_has_lapsed_and_goes_on_when_it_is_renewed() -> None:
    async def act(world: World) -> None:
        batch = world.batch()
        assert await batch.ready()

        world.now += 7.0
        asked = asyncio.create_task(batch.ready())
        assert await is_waiting(asked)

        world.lease.renew(world.now)
        world.take_over.notify()
        assert await asked

    in_a_world(act)


def test_a_batch_that_waits_for_the_lease_learns_that_it_is_lost() -> None:
    async def act(world: World) -> None:
        world.now += 7.0
        asked = asyncio.create_task(world.batch().ready())
        assert await is_waiting(asked)

        world.take_over.end()

        assert not await asked

    in_a_world(act)


def test_closing_lets_a_batch_go_on_that_was_begun_and_drops_the_others() -> None:
    async def act(world: World) -> None:
        begun, queued = world.batch(), world.batch()
        assert await begun.ready()

        world.take_over.close()

        assert await begun.ready()
        assert not await queued.ready()
        begun.done()
        assert world.take_over.uncommitted() == {HERE: 10}

    in_a_world(act)


def test_nothing_is_ready_when_the_take_over_is_over() -> None:
    async def act(world: World) -> None:
        batch = world.batch()
        assert await batch.ready()

        world.take_over.end()

        assert not await batch.ready()

    in_a_world(act)


def test_there_is_room_for_as_many_batches_as_the_depth_says() -> None:
    async def act(world: World) -> None:
        first = world.batch()
        assert world.take_over.room(depth=2) == [HERE]

        world.batch()
        assert world.take_over.room(depth=2) == []

        first.done()
        assert world.freed == 1
        assert world.take_over.room(depth=2) == [HERE]

        world.take_over.close()
        assert world.take_over.room(depth=2) == []

    in_a_world(act)


def test_a_take_over_closed_before_it_was_open_stays_closed() -> None:
    async def act(world: World) -> None:
        late = TakeOver(
            frozenset({HERE}), world.lease, lambda: world.now, world.counts, lambda: None
        )
        late.close()

        late.open()

        assert late.phase is Phase.CLOSING

    in_a_world(act)


def test_settling_waits_for_a_batch_that_was_begun() -> None:
    async def act(world: World) -> None:
        begun = world.batch()
        world.batch()
        assert await begun.ready()
        world.take_over.close()

        settling = asyncio.create_task(world.take_over.settled(timeout=5.0))
        assert await is_waiting(settling)
        begun.done()

        assert await settling

    in_a_world(act)


def test_settling_does_not_wait_for_a_batch_whose_lease_has_lapsed() -> None:
    async def act(world: World) -> None:
        assert await world.batch().ready()
        world.now += 7.0

        assert not await world.take_over.settled(timeout=60.0)

    in_a_world(act)


def test_a_begun_batch_that_learns_it_is_lost_is_waited_for_no_more() -> None:
    async def act(world: World) -> None:
        begun = world.batch()
        assert await begun.ready()
        world.take_over.end()

        settling = asyncio.create_task(world.take_over.settled(timeout=5.0))
        assert await is_waiting(settling)
        assert not await begun.ready()

        assert await settling

    in_a_world(act)


def test_a_dropped_batch_is_waited_for_no_more_and_keeps_its_offsets_uncommitted() -> None:
    async def act(world: World) -> None:
        dropped, later = world.batch(), world.batch()
        assert await dropped.ready()
        assert await later.ready()

        dropped.drop()
        later.done()

        assert await world.take_over.settled(1)
        assert world.take_over.uncommitted() == {}
        assert world.counts.of(HERE).dropped == 1

    in_a_world(act)


def test_a_batch_that_waits_for_its_turn_ages_only_while_the_agent_begins_no_other() -> None:
    async def act(world: World) -> None:
        first, waiting = world.batch(), world.batch()
        world.now += 2
        assert await first.ready()
        first.done()

        assert world.take_over.oldest(HERE) == world.now
        world.now += 3
        assert await waiting.ready()
        assert world.take_over.oldest(HERE) == world.now

    in_a_world(act)
