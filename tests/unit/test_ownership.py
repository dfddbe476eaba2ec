import asyncio

from pipeline.adapters.memory_alerts import MemoryAlerts, MemoryAlertsTopic
from pipeline.core.errors import BrokerUnavailable
from pipeline.reader.batch import Partition
from pipeline.worker.ownership import AlertLogs

OURS = frozenset(
    {Partition("masswatch.evaluations.v1", 1), Partition("masswatch.evaluations.v1", 4)}
)


def test_every_partition_has_a_log_from_take_over_until_it_is_given_up() -> None:
    topic = MemoryAlertsTopic()

    async def open_log(partition: int) -> MemoryAlerts:
        return topic.open(partition)

    async def run() -> None:
        logs = AlertLogs(open_log)
        await logs.take_over(OURS)
        assert topic.owners == {1: logs.of(1), 4: logs.of(4)}
        assert logs.of(0) is None

        await logs.give_up(OURS)
        assert topic.owners == {}
        assert logs.of(1) is None

    asyncio.run(run())


def test_a_take_over_waits_for_the_broker() -> None:
    topic, refusals = MemoryAlertsTopic(), [BrokerUnavailable("kafka: away")]

    async def open_log(partition: int) -> MemoryAlerts:
        if refusals:
            raise refusals.pop()
        return topic.open(partition)

    async def run() -> None:
        logs = AlertLogs(open_log)
        await logs.take_over(OURS)
        assert len(logs) == 2

    asyncio.run(run())


def test_partitions_that_were_never_opened_can_be_given_up() -> None:
    async def open_log(_: int) -> MemoryAlerts:
        raise BrokerUnavailable("kafka: away")

    async def run() -> None:
        logs = AlertLogs(open_log)
        opening = asyncio.create_task(logs.take_over(OURS))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait({opening})
        await logs.give_up(OURS)
        assert len(logs) == 0

    asyncio.run(run())
