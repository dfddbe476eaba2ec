import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from pipeline.adapters.memory_alerts import MemoryRequests
from pipeline.adapters.memory_facts import MemoryFacts
from pipeline.core.errors import StoreUnavailable
from pipeline.core.model import AssignmentId
from pipeline.core.policy import Policy
from pipeline.reader.batch import Partition
from pipeline.worker.asking import Asking

STORED = [AssignmentId("t", str(number)) for number in range(8)]


class Stored(MemoryFacts):
    """Eight assignments; the store is away for as many scans as it is told, half way through."""

    def __init__(self, *, away: int = 0) -> None:
        super().__init__(Policy().windows)
        self.away = away

    async def assignments(self) -> AsyncIterator[AssignmentId]:
        for one in STORED:
            if self.away and one == STORED[4]:
                self.away -= 1
                raise StoreUnavailable("redis: away")
            yield one


class SlowRequests(MemoryRequests):
    """Lets a test act while requests are on their way."""

    def __init__(self) -> None:
        super().__init__()
        self.sending = asyncio.Event()
        self.delivered = asyncio.Event()
        self.sends = 0

    async def send(self, ids: Sequence[AssignmentId]) -> None:
        self.sends += 1
        self.sending.set()
        await self.delivered.wait()
        await super().send(ids)


def evaluations(*partitions: int) -> frozenset[Partition]:
    return frozenset(Partition("masswatch.evaluations.v1", one) for one in partitions)


def stored_in(partitions: Iterable[int]) -> list[AssignmentId]:
    return [one for one in STORED if partition_of(one) in partitions]


def partition_of(one: AssignmentId) -> int:
    return int(one.audit_event_id) % 4


async def until_sent(requests: MemoryRequests, count: int) -> None:
    async with asyncio.timeout(5):
        while len(requests.sent) < count:  # noqa: ASYNC110 - a sink tells nobody
            await asyncio.sleep(0.01)


def test_every_take_over_asks_for_what_is_stored_in_its_partitions_and_for_nothing_else() -> None:
    async def act() -> list[AssignmentId]:
        requests = MemoryRequests()
        asking = Asking(Stored(), requests, partition_of)
        running = asyncio.create_task(asking.run())
        for partitions in ((0, 1), (1,)):
            before = len(requests.sent)
            asking.taken_over(evaluations(*partitions))
            await until_sent(requests, before + 2 * len(partitions))
        running.cancel()
        return requests.sent

    assert asyncio.run(act()) == [*stored_in((0, 1)), *stored_in((1,))]


def test_partitions_taken_over_while_it_asks_are_asked_for_together_afterwards() -> None:
    async def act() -> SlowRequests:
        requests = SlowRequests()
        asking = Asking(Stored(), requests, partition_of)
        running = asyncio.create_task(asking.run())
        asking.taken_over(evaluations(0))
        await requests.sending.wait()

        for partition in (1, 2, 1):
            asking.taken_over(evaluations(partition))
        requests.delivered.set()
        await until_sent(requests, 6)
        running.cancel()
        return requests

    requests = asyncio.run(act())

    assert requests.sent == [*stored_in((0,)), *stored_in((1, 2))]
    assert requests.sends == 2


def test_a_store_that_is_away_half_way_through_is_asked_again_from_the_start() -> None:
    async def act() -> list[AssignmentId]:
        requests = MemoryRequests()
        asking = Asking(Stored(away=1), requests, partition_of)
        running = asyncio.create_task(asking.run())
        asking.taken_over(evaluations(0, 1, 2, 3))
        await until_sent(requests, 8)
        running.cancel()
        return requests.sent

    assert asyncio.run(act()) == STORED


def test_everything_is_asked_for_whoever_owns_its_partition() -> None:
    async def act() -> SlowRequests:
        requests = SlowRequests()
        asking = Asking(Stored(), requests, partition_of)
        running = asyncio.create_task(asking.run())
        asking.taken_over(evaluations(0))
        await requests.sending.wait()

        asking.taken_over(evaluations(1))
        asking.everything()
        requests.delivered.set()
        await until_sent(requests, 10)
        asking.taken_over(evaluations(2))
        await until_sent(requests, 12)
        running.cancel()
        return requests

    assert asyncio.run(act()).sent == [*stored_in((0,)), *STORED, *stored_in((2,))]
