import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from readers import NEEDLE, Agent, Needle, fetched, reading, until

from pipeline.core.errors import BrokerUnavailable, ConfigError
from pipeline.localstack import Addresses
from pipeline.reader.aiokafka_parts.client import abandon
from pipeline.reader.batch import Partition
from pipeline.reader.frames import Receiver
from pipeline.reader.reader import Reader
from pipeline.reader.settings import ReaderSettings

pytestmark = pytest.mark.stack

PARTITIONS = 2


@pytest.fixture
def topic(stack: Addresses, prefix: str) -> str:
    name = f"{prefix}source"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for created in admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
        created.result(10)
    return name


@pytest.fixture
def settings(stack: Addresses, prefix: str) -> ReaderSettings:
    return ReaderSettings(
        stack.bootstrap_servers,
        f"{prefix}group",
        session_timeout=timedelta(seconds=6),
        heartbeat_interval=timedelta(seconds=0.5),
        lease=timedelta(seconds=4),
        renew_interval=timedelta(seconds=1),
        commit_interval=timedelta(seconds=0.2),
        revoke_timeout=timedelta(seconds=2),
        stop_timeout=timedelta(seconds=6),
    )


def values(count: int, *, every: int = 1) -> list[bytes]:
    return [b"%s %d" % (NEEDLE if index % every == 0 else b"hay", index) for index in range(count)]


def produce(stack: Addresses, topic: str, rows: Sequence[bytes | None], **config: Any) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, **config})
    for index, value in enumerate(rows):
        producer.produce(topic, value, partition=index % PARTITIONS)
    assert producer.flush(20) == 0


def committed(settings: ReaderSettings, topic: str) -> list[int]:
    consumer = Consumer(
        {"bootstrap.servers": settings.bootstrap_servers, "group.id": settings.group_id}
    )
    asked = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    offsets = [each.offset for each in consumer.committed(asked, 10)]
    consumer.close()
    return offsets


# What is waited for happens in a broker, so that no event of ours could tell.
async def until_committed(settings: ReaderSettings, topic: str, offsets: list[int]) -> None:
    async with asyncio.timeout(30):
        while await asyncio.to_thread(committed, settings, topic) != offsets:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def test_every_value_is_delivered_once_and_all_of_it_is_committed(
    stack: Addresses, topic: str, settings: ReaderSettings
) -> None:
    rows = [*values(2000, every=10), None, b"%s last" % NEEDLE]
    produce(stack, topic, rows)
    agent = Agent()
    reader = Reader(settings, [topic], agent.deliver, sieve=Needle())

    async def read() -> None:
        async with reading(reader):
            await until(lambda: fetched(reader) == len(rows))

    asyncio.run(read())

    assert agent.values == Counter(value for value in rows if value and NEEDLE in value)
    assert committed(settings, topic) == [1001, 1001]
    counts = list(reader.counts.partitions.values())
    assert [each.fetched for each in counts] == [each.sieved + each.opened for each in counts]
    assert sum(each.opened for each in counts) == 201
    assert sum(each.dropped for each in counts) == 0


def test_the_committed_offset_waits_for_the_batch_that_is_not_done(
    stack: Addresses, topic: str, settings: ReaderSettings
) -> None:
    produce(stack, topic, values(100))
    agent = Agent(holds=lambda batch: batch.partition == 0 and not agent.held)
    reader = Reader(settings, [topic], agent.deliver, sieve=None)

    async def read() -> list[int]:
        async with reading(reader):
            await until(lambda: agent.values.total() == 100)
            produce(stack, topic, values(100))
            await until(lambda: agent.values.total() == 200)
            await until_committed(settings, topic, [0, 100])
            commits = reader.counts.commits
            await until(lambda: reader.counts.commits > commits + 1)
            before = committed(settings, topic)
            agent.held[0].done()
            await until_committed(settings, topic, [100, 100])
            return before

    assert asyncio.run(read()) == [0, 100]


def test_no_more_than_the_depth_of_a_partition_is_handed_out_while_the_other_goes_on(
    stack: Addresses, topic: str, settings: ReaderSettings
) -> None:
    agent = Agent(holds=lambda batch: batch.partition == 0)
    reader = Reader(settings, [topic], agent.deliver, sieve=None)

    async def read() -> None:
        async with reading(reader):
            await until(lambda: reader.partitions)
            for count in range(5, 30, 5):
                produce(stack, topic, values(10))
                await until(partial(taken_at_least, agent, 1, count))

    asyncio.run(read())

    assert len(agent.held) == 2
    assert taken(agent, 0) == 10


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_batches_are_read(
    stack: Addresses, topic: str, settings: ReaderSettings, codec: str
) -> None:
    rows = [value + b" " * 500 for value in values(500, every=20)]
    produce(stack, topic, rows, **{"compression.type": codec, "linger.ms": 50})
    agent = Agent()
    reader = Reader(settings, [topic], agent.deliver, sieve=Needle())

    async def read() -> None:
        async with reading(reader):
            await until(lambda: fetched(reader) == len(rows))

    asyncio.run(read())

    assert agent.values == Counter(value for value in rows if NEEDLE in value)


def test_aborted_transactions_are_passed_over_and_their_offsets_committed(
    stack: Addresses, topic: str, settings: ReaderSettings
) -> None:
    producer = Producer(
        {"bootstrap.servers": stack.bootstrap_servers, "transactional.id": f"{topic}.writer"}
    )
    producer.init_transactions(20)
    for value, commits in ((b"one", True), (b"two", False), (b"three", True), (b"four", False)):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush(20)
        producer.commit_transaction(20) if commits else producer.abort_transaction(20)
    agent = Agent()
    reader = Reader(settings, [topic], agent.deliver, sieve=None)

    async def read() -> None:
        async with reading(reader):
            await until_committed(settings, topic, [8, 0])

    asyncio.run(read())

    assert agent.values == Counter([b"one", b"three"])
    assert fetched(reader) == 2


def test_nothing_is_lost_when_a_reader_dies_while_another_joins(
    stack: Addresses, topic: str, settings: ReaderSettings
) -> None:
    rows = values(4000)
    settings = replace(settings, batch_candidates=50)
    first = Agent(holds=lambda batch: batch.partition == 1 and batch.first_offset > 0)
    second = Agent()
    dying = Reader(settings, [topic], first.deliver, sieve=None)
    heir = Reader(settings, [topic], second.deliver, sieve=None)

    async def read() -> None:
        await dying.start()
        running = asyncio.create_task(dying.run())
        await until(lambda: dying.partitions)
        produce(stack, topic, rows[:1000])
        await until(lambda: first.values.total() == 1000)
        produce(stack, topic, rows[1000:2000])
        await until(lambda: first.held)
        async with reading(heir):
            await until(lambda: not dying.partitions)  # in the midst of giving them up
            await die(dying, running)
            produce(stack, topic, rows[2000:])
            await until_committed(settings, topic, [2000, 2000])

    asyncio.run(read())

    done = Counter[bytes | None]()
    for batch in first.batches:
        if batch not in first.held:
            done.update(candidate.value for candidate in batch.candidates)
    assert set(done) | set(second.values) == set(rows)
    assert second.values.total() < len(rows)


def test_a_batch_that_another_reader_takes_over_is_not_ready_any_more(
    stack: Addresses, topic: str, settings: ReaderSettings
) -> None:
    produce(stack, topic, values(10))
    first = Agent(holds=lambda _: True)
    second = Agent()

    async def read() -> tuple[list[bool], list[bool]]:
        async with reading(Reader(settings, [topic], first.deliver, sieve=None)):
            await until(lambda: len(first.held) == PARTITIONS)
            before = [await batch.ready() for batch in first.held]
            async with reading(Reader(settings, [topic], second.deliver, sieve=None)) as _:
                await until(lambda: second.values)
                return before, [await batch.ready() for batch in first.held[:PARTITIONS]]

    before, after = asyncio.run(read())

    assert before == [True, True]
    assert after == [False, False]


def test_partitions_are_handed_over_without_a_second_delivery_when_a_reader_joins(
    stack: Addresses, topic: str, settings: ReaderSettings
) -> None:
    first, second = Agent(), Agent()
    one = Reader(settings, [topic], first.deliver, sieve=None)
    two = Reader(settings, [topic], second.deliver, sieve=None)

    async def read() -> None:
        async with reading(one):
            produce(stack, topic, values(500))
            await until(lambda: first.values.total() == 500)
            async with reading(two):
                await until(lambda: len(two.partitions) == len(one.partitions) == 1)
                produce(stack, topic, values(1000)[500:])
                await until(lambda: first.values.total() + second.values.total() >= 1000)

    asyncio.run(read())

    assert first.values + second.values == Counter(values(1000))


def test_a_hook_that_takes_longer_than_the_session_ends_before_the_first_batch(
    stack: Addresses, topic: str, settings: ReaderSettings
) -> None:
    produce(stack, topic, values(10))
    agent = Agent()
    seen: list[tuple[str, frozenset[Partition], int]] = []

    async def assigned(partitions: frozenset[Partition]) -> None:
        await asyncio.sleep(settings.session_timeout.total_seconds() + 2)
        seen.append(("assigned", partitions, agent.values.total()))

    async def revoked(partitions: frozenset[Partition]) -> None:
        seen.append(("revoked", partitions, agent.values.total()))

    reader = Reader(
        settings,
        [topic],
        agent.deliver,
        sieve=None,
        on_assigned=assigned,
        on_revoked=revoked,
    )

    async def read() -> None:
        async with reading(reader):
            await until(lambda: agent.values.total() == 10)

    asyncio.run(read())

    both = frozenset({Partition(topic, 0), Partition(topic, 1)})
    assert seen == [("assigned", both, 0), ("revoked", both, 10)]
    assert reader.counts.take_overs == 1


def test_what_a_hook_raises_ends_the_run(topic: str, settings: ReaderSettings) -> None:
    async def fail(_: frozenset[Partition]) -> None:
        raise ValueError("no producer")

    reader = Reader(settings, [topic], Agent().deliver, sieve=None, on_assigned=fail)

    async def read() -> None:
        async with reading(reader) as running:
            await asyncio.wait({running}, timeout=20)

    with pytest.raises(ValueError, match="no producer"):
        asyncio.run(read())


def test_a_batch_with_a_wrong_checksum_ends_the_run(
    stack: Addresses, topic: str, settings: ReaderSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(stack, topic, values(10))
    change_what_arrives(monkeypatch, b"needle 4", b"noodle 4")
    agent = Agent()
    reader = Reader(settings, [topic], agent.deliver, sieve=None)

    async def read() -> None:
        await reader.start()
        running = asyncio.create_task(reader.run())
        await asyncio.wait({running}, timeout=20)
        await reader.stop()
        await running

    with pytest.raises(CorruptRecordException, match=r"source\[0\]@0: the checksum is wrong"):
        asyncio.run(read())
    assert committed(settings, topic)[0] == 0


def test_a_topic_that_does_not_exist_is_named(topic: str, settings: ReaderSettings) -> None:
    reader = Reader(settings, [topic, f"{topic}.b", f"{topic}.a"], Agent().deliver, sieve=None)

    with pytest.raises(ConfigError) as raised:
        asyncio.run(reader.start())

    assert str(raised.value).splitlines() == [
        f"topic {topic}.a: does not exist: run masswatch topics apply",
        f"topic {topic}.b: does not exist: run masswatch topics apply",
    ]


def test_a_broker_that_does_not_answer_is_named() -> None:
    reader = Reader(ReaderSettings("localhost:1", "g"), ["t"], Agent().deliver, sieve=None)

    with pytest.raises(BrokerUnavailable, match="localhost:1: no broker answers"):
        asyncio.run(reader.start())


def test_a_stop_is_bounded_when_a_batch_never_ends(
    stack: Addresses, topic: str, settings: ReaderSettings
) -> None:
    produce(stack, topic, values(10))
    agent = Agent(holds=lambda _: True)
    reader = Reader(settings, [topic], agent.deliver, sieve=None)

    async def read() -> float:
        loop = asyncio.get_running_loop()
        async with reading(reader):
            await until(lambda: len(agent.held) == PARTITIONS)
            began = loop.time()
        return loop.time() - began

    took = asyncio.run(read())

    assert 1.5 < took < settings.stop_timeout.total_seconds() + 1
    assert committed(settings, topic) == [0, 0]


def taken(agent: Agent, partition: int) -> int:
    return sum(batch.count for batch in agent.batches if batch.partition == partition)


def taken_at_least(agent: Agent, partition: int, count: int) -> bool:
    return taken(agent, partition) >= count


async def die(reader: Reader, running: asyncio.Task[None]) -> None:
    """End a reader as SIGKILL would: nothing is committed, and the group is not told."""
    running.cancel()
    assert reader._parts is not None
    await abandon(reader._parts.consumer)
    reader._parts.consumer._closed = True
    await asyncio.wait({running})


def change_what_arrives(patch: pytest.MonkeyPatch, old: bytes, new: bytes) -> None:
    """Change bytes between the broker and the reader."""
    receive = Receiver.buffer_updated

    def changed(self: Receiver, nbytes: int) -> None:
        arrived = self._view[self._filled : self._filled + nbytes]
        arrived[:] = bytes(arrived).replace(old, new)
        receive(self, nbytes)

    patch.setattr(Receiver, "buffer_updated", changed)
