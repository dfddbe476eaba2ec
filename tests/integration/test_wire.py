"""What may happen to answers on their way: cut, lost half-way, larger than asked for, moved."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from kafka_topic import KafkaTopic
from readers import NEEDLE, Agent, Needle, fetched, reading, until
from second_broker import SecondBroker

from pipeline.localstack import Addresses, Stack
from pipeline.reader.frames import SMALL, Receiver
from pipeline.reader.reader import Reader
from pipeline.reader.settings import ReaderSettings

pytestmark = pytest.mark.stack


def settings_of(servers: str, group: str, *, fetches: int = 4 << 20) -> ReaderSettings:
    return ReaderSettings(
        servers, group, partition_fetch_max_bytes=fetches, stop_timeout=timedelta(seconds=6)
    )


def values(count: int, size: int) -> list[bytes]:
    return [(b"%s %d " % (NEEDLE, number)).ljust(size, b".") for number in range(count)]


def put(client: dict[str, str], topic: str, rows: Sequence[bytes], **more: str) -> None:
    producer = Producer({**client, "message.max.bytes": "3000000", **more})
    for row in rows:
        producer.produce(topic, row, partition=0)
    assert producer.flush(30) == 0


@pytest.fixture
def client(stack: Addresses) -> dict[str, str]:
    return {"bootstrap.servers": stack.bootstrap_servers}


def test_a_connection_that_is_lost_in_the_middle_of_an_answer_costs_no_value(
    client: dict[str, str], prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = KafkaTopic(f"{prefix}source", client).create().name
    rows = values(2_000, 10_000)
    put(client, topic, rows)
    agent = Agent()
    settings = settings_of(client["bootstrap.servers"], f"{prefix}group")
    reader = Reader(settings, [topic], agent.deliver, sieve=Needle())
    lost: list[int] = []

    def loses(receiver: Receiver, nbytes: int) -> None:
        receive(receiver, nbytes)
        is_half_full = receiver._filled > SMALL
        if is_half_full and len(lost) < 5:
            lost.append(receiver._filled)
            assert reader._parts is not None
            for connection in list(reader._parts.consumer._client._conns.values()):
                if connection._writer.transport.get_protocol() is receiver:
                    connection._writer.transport.abort()

    receive = Receiver.buffer_updated
    monkeypatch.setattr(Receiver, "buffer_updated", loses)

    async def read() -> None:
        async with reading(reader):
            await until(lambda: fetched(reader) == len(rows))

    asyncio.run(read())

    assert len(lost) == 5
    assert agent.values == Counter(rows)
    assert reader.counts.resets == 0


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_record_larger_than_a_fetch_may_be_and_batches_that_are_cut_off_are_read(
    client: dict[str, str], prefix: str, codec: str
) -> None:
    topic = KafkaTopic(f"{prefix}source", client).create().name
    small, large = values(300, 3_000), [bytes(range(256)) * 4_000 + NEEDLE]
    # One batch each, of which no fetch of 20,000 bytes holds a whole number.
    put(client, topic, small, **{"batch.num.messages": "1", "compression.type": codec})
    put(client, topic, large, **{"compression.type": codec})
    put(client, topic, small, **{"batch.num.messages": "2", "compression.type": codec})
    agent = Agent()
    settings = settings_of(client["bootstrap.servers"], f"{prefix}group", fetches=20_000)
    reader = Reader(settings, [topic], agent.deliver, sieve=Needle())

    async def read() -> None:
        async with reading(reader):
            await until(lambda: fetched(reader) == 601)

    asyncio.run(read())

    assert agent.values == Counter(small) + Counter(small) + Counter(large)
    assert reader.counts.resets == 0


@pytest.fixture
def second(own_stack: Stack, tmp_path: Path) -> Iterator[SecondBroker]:
    with closing(SecondBroker(tmp_path / "second", own_stack)) as broker:
        yield broker


def test_a_fetch_follows_the_leader_of_its_partition(
    own_stack: Stack, second: SecondBroker
) -> None:
    servers = f"{own_stack.bootstrap_servers},{second.bootstrap_servers}"
    client = {"bootstrap.servers": servers}
    admin = AdminClient(dict(client))
    topic = NewTopic("source", 1, replica_assignment=[[2, 1]])
    for future in admin.create_topics([topic]).values():
        future.result(20)
    before, after = values(500, 1_000), values(1_000, 1_000)[500:]
    put(client, "source", before, acks="all")
    agent = Agent()
    reader = Reader(settings_of(servers, "group"), ["source"], agent.deliver, sieve=Needle())

    async def read() -> None:
        async with reading(reader):
            await until(lambda: fetched(reader) == 500)
            await asyncio.to_thread(second.close)
            await asyncio.to_thread(put, client, "source", after, acks="all")
            await until(lambda: fetched(reader) == 1_000)

    asyncio.run(read())

    assert agent.values == Counter(before + after)
    assert reader.counts.resets == 0
