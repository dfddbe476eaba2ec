"""What `pipeline/reader/aiokafka_parts` takes for granted of aiokafka's private parts.

A failure here after an upgrade of aiokafka means: read that module's docstring, compare the part
with the version before, adapt the module, and then this test.
"""

import asyncio
import hashlib
import inspect
import os
import signal
import struct
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import crc32c
import pytest
from aiokafka import AIOKafkaClient, AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import CorruptRecordException
from aiokafka.protocol import fetch
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters import kafka_admin
from pipeline.localstack import down, up
from pipeline.reader.aiokafka_parts.client import be_patient, coordinator_answers
from pipeline.reader.aiokafka_parts.fetched import SiftedBatches, SiftedRecords, sift_answer
from pipeline.reader.batch import Partition
from pipeline.reader.records import Sifted
from pipeline.reader.sifting import Sifter
from topics.catalogue import EVALUATIONS, catalogue

HERE = TopicPartition("t", 0)
ABORT, COMMIT = 0, 1
READ_COMMITTED = 1


class Everything:
    def spots(self, data: bytes | memoryview) -> Sequence[int]:
        return range(1, len(data) + 1)

    def admits(self, value: bytes) -> bool:
        return value is not None


def a_batch(
    base_offset: int, values: Sequence[bytes], *, producer: int = -1, transactional: bool = False
) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, int(transactional), producer, 0, 0, 1 << 20)
    for index, value in enumerate(values):
        builder.append(index, 1_700_000_000_000, None, value, [])
    built = builder.build()
    struct.pack_into(">q", built, 0, base_offset)
    return bytes(built)


def a_marker(base_offset: int, kind: int, *, producer: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, -1, 1 << 20)
    builder.append(0, 1_700_000_000_000, struct.pack(">hh", 0, kind), b"", [])
    built = builder.build()
    struct.pack_into(">q", built, 0, base_offset)
    struct.pack_into(">h", built, 21, 0x30)
    struct.pack_into(">I", built, 17, crc32c.crc32c(built[21:]))
    return bytes(built)


def an_old_batch(base_offset: int, magic: int, values: Sequence[bytes], codec: int = 0) -> bytes:
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    for index, value in enumerate(values):
        builder.append(base_offset + index, 1_700_000_000_000, None, value)
    built = builder.build()
    if codec:
        struct.pack_into(">q", built, 0, base_offset + len(values) - 1)
    return bytes(built)


def ours(
    data: bytes, fetch_offset: int, aborted: list[tuple[int, int]], enough: int = 1000
) -> SiftedRecords:
    sifter = Sifter(Everything(), enough)
    fetched = sifter.sift(memoryview(data), Partition(*HERE), fetch_offset, aborted)
    return SiftedRecords(
        HERE, SiftedBatches(fetched), aborted, fetch_offset, None, None, True, READ_COMMITTED
    )


def theirs(data: bytes, fetch_offset: int, aborted: list[tuple[int, int]]) -> PartitionRecords:
    return PartitionRecords(
        HERE, MemoryRecords(data), aborted, fetch_offset, None, None, True, READ_COMMITTED
    )


def assert_alike(data: bytes, fetch_offset: int, aborted: list[tuple[int, int]]) -> list[int]:
    our_records, their_records = (
        ours(data, fetch_offset, aborted),
        theirs(data, fetch_offset, aborted),
    )
    stretches: list[Sifted] = list(our_records)
    expected = [(record.offset, record.value) for record in their_records]

    candidates = [candidate for stretch in stretches for candidate in stretch.candidates]
    assert [(each.position.offset, each.value) for each in candidates] == expected
    assert sum(stretch.count for stretch in stretches) == len(expected)
    assert our_records.next_fetch_offset == their_records.next_fetch_offset
    assert [each.first_offset for each in stretches[:1]] == [fetch_offset][: len(stretches)]
    assert all(before.next_offset == after.first_offset for before, after in pairwise(stretches))
    return [offset for offset, _ in expected]


@st.composite
def logs(draw: st.DrawFn) -> tuple[bytes, int, list[tuple[int, int]]]:
    """A partition with open, committed and aborted transactions of three producers, and gaps."""
    offset = draw(st.integers(0, 1000))
    data = a_batch(offset, [b"1", b"2", b"3", b"4"])
    fetch_offset = offset + draw(st.integers(0, 3))
    offset += 4
    began: dict[int, int] = {}
    aborted = []
    for step in range(draw(st.integers(1, 12))):
        producer = draw(st.integers(0, 3))
        offset += draw(st.sampled_from([0, 0, 0, 5]))
        if producer in began and draw(st.booleans()):
            kind = draw(st.sampled_from([ABORT, COMMIT]))
            if kind == ABORT:
                aborted.append((producer, began[producer]))
            del began[producer]
            data += a_marker(offset, kind, producer=producer)
            offset += 1
        else:
            values = [b"%d.%d" % (step, index) for index in range(draw(st.integers(1, 4)))]
            if producer:
                began.setdefault(producer, offset)
                data += a_batch(offset, values, producer=producer, transactional=True)
            else:
                data += a_batch(offset, values)
            offset += len(values)
    return data, fetch_offset, [*aborted, *began.items()]


@given(logs())
def test_transactions_and_markers_are_passed_over_as_aiokafka_does(
    log: tuple[bytes, int, list[tuple[int, int]]],
) -> None:
    assert_alike(*log)


def test_an_aborted_transaction_is_passed_over_and_what_follows_is_read() -> None:
    data = (
        a_batch(0, [b"a"])
        + a_batch(1, [b"b", b"c"], producer=7, transactional=True)
        + a_batch(3, [b"d"])
        + a_marker(4, ABORT, producer=7)
        + a_batch(5, [b"e"], producer=7, transactional=True)
        + a_marker(6, COMMIT, producer=7)
    )

    assert assert_alike(data, 0, [(7, 1)]) == [0, 3, 5]


@pytest.mark.parametrize("codec", [0, 1, 2])
@pytest.mark.parametrize("magic", [0, 1])
def test_batches_of_old_formats_are_read_as_aiokafka_reads_them(magic: int, codec: int) -> None:
    old = an_old_batch(0, magic, [b"a" * 99, b"b" * 99, b"c" * 99], codec)

    assert assert_alike(old, 1, []) == [1, 2]
    followed = [each.next_offset for each in ours(old + a_batch(3, [b"d"]), 1, [])]
    assert followed == [4]


def test_a_stretch_ends_when_it_has_enough_candidates() -> None:
    data = b"".join(a_batch(2 * index, [b"a", b"b"]) for index in range(3))

    sifted = ours(data, 1, [], enough=3)
    stretches = [(each.first_offset, each.next_offset, each.count) for each in sifted]

    assert stretches == [(1, 4, 3), (4, 6, 2)]


def test_a_wrong_checksum_raises_and_is_not_passed_over_when_asked_again() -> None:
    bad = bytearray(a_batch(1, [b"b"]))
    bad[-1] ^= 1
    sifted = ours(a_batch(0, [b"a"]) + bytes(bad) + a_batch(2, [b"c"]), 0, [])

    for _ in range(2):
        with pytest.raises(CorruptRecordException, match=r"t\[0\]@1: the checksum is wrong"):
            list(sifted)

    assert sifted.next_fetch_offset <= 1


def test_an_answer_that_holds_no_whole_batch_says_so() -> None:
    batch = a_batch(0, [b"a"])

    for data in (b"", batch[:-1], batch, batch + batch[:20]):
        found = SiftedBatches(Sifter(None, 1).sift(data, Partition(*HERE), 0, []))
        assert found.has_next() == MemoryRecords(data).has_next()
        assert found.size_in_bytes() == MemoryRecords(data).size_in_bytes()


@pytest.mark.parametrize("version", range(4, 12))
@pytest.mark.parametrize("aborted", [None, [], [(7, 5)]])
def test_the_answer_to_a_fetch_is_sifted_whatever_its_version(
    version: int, aborted: list[tuple[int, int]] | None
) -> None:
    data = a_batch(3, [b"a", b"b"]) + a_batch(5, [b"c"], producer=7, transactional=True)
    asked = FetchRequest(500, 1, 9, READ_COMMITTED, [("t", [(0, 4, 9)])])
    request = asked.build(getattr(fetch, f"FetchRequest_v{version}"))
    answer = getattr(fetch, f"FetchResponse_v{version}")
    begun = (0,) if version >= 5 else ()
    replica = (-1,) if version >= 11 else ()
    partition = (0, 0, 6, 6, *begun, aborted, *replica, data)
    session = (0, 0) if version >= 7 else ()
    response = answer.decode(BytesIO(answer(0, *session, [("t", [partition])]).encode()))

    sift_answer(Sifter(Everything(), 1000), request, response)

    [(topic, [(*told, fetched)])] = response.topics
    assert (topic, told[:4]) == ("t", [0, 0, 6, 6])
    values = [one.value for each in fetched.stretches for one in each.candidates]
    assert values == ([b"b"] if aborted else [b"b", b"c"])


def test_a_fetch_result_hands_on_whatever_the_records_yield() -> None:
    source = inspect.getsource(FetchResult.getall)

    assert "for msg in self._partition_records" in source
    assert "next_fetch_offset" in inspect.getsource(FetchResult)


@pytest.mark.parametrize(
    ("part", "sha256"),
    [
        (Fetcher._proc_fetch_request, "59bf948fff47eed5"),
        (PartitionRecords, "94aa0da0dbec8d1b"),
        (FetchResult, "d7db13f06de8248c"),
        (AIOKafkaClient._metadata_update, "06dc51ed3e0d38b8"),
        (AIOKafkaClient._md_synchronizer, "e0421bffa9a7735a"),
    ],
    ids=lambda part: getattr(part, "__qualname__", ""),
)
def test_the_part_is_the_one_that_our_module_was_written_for(part: Any, sha256: str) -> None:
    found = hashlib.sha256(inspect.getsource(part).encode()).hexdigest()[:16]

    assert found == sha256, (
        f"aiokafka's {part.__qualname__} has changed: read the docstring of "
        "pipeline/reader/aiokafka_parts, adapt it, then enter the new hash here"
    )


def test_the_fetcher_finds_both_classes_by_name_and_has_no_closure() -> None:
    code = Fetcher._proc_fetch_request.__code__

    assert {"MemoryRecords", "PartitionRecords"} <= set(code.co_names)
    assert Fetcher._proc_fetch_request.__closure__ is None


def test_the_tasks_and_connections_that_are_closed_by_hand_are_there() -> None:
    for owner, names in (
        (GroupCoordinator, ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")),
        (Fetcher, ("_fetch_task", "_pending_tasks")),
        (AIOKafkaConsumer, ("_coordinator", "_fetcher", "_client")),
    ):
        source = inspect.getsource(owner.__init__)
        assert all(f"self.{name} = " in source for name in names)
    assert inspect.iscoroutinefunction(AIOKafkaClient.close)


def test_the_client_pauses_when_no_broker_tells_the_metadata() -> None:
    async def asked_for_a_while() -> int:
        consumer = AIOKafkaConsumer(bootstrap_servers="localhost:1")
        client = consumer._client
        asked = 0

        async def refuse(*_: Any) -> bool:
            nonlocal asked
            asked += 1
            return False

        client._metadata_update = refuse
        be_patient(consumer, pause=0.05)
        client._sync_task = asyncio.ensure_future(client._md_synchronizer())
        async with asyncio.timeout(5):
            for _ in range(3):
                await client.force_metadata_update()
        await consumer.stop()
        return asked

    started = asyncio.run(timed(asked_for_a_while()))

    assert started == (3, True)


async def timed(asked: Any) -> tuple[int, bool]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    count = await asked
    return count, loop.time() - began >= 0.15


def freeze(pid: int) -> None:
    """Stop a process, and return when none of its threads runs any more."""
    os.kill(pid, signal.SIGSTOP)
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    while any((each / "stat").read_text().rpartition(") ")[2][0] != "T" for each in threads):
        os.sched_yield()


@pytest.mark.stack
def test_whether_the_coordinator_answers_is_told_though_its_connection_stays_open(
    tmp_path: Path,
) -> None:
    stack = up(tmp_path)

    async def ask() -> list[bool]:
        consumer = AIOKafkaConsumer(
            "answers", group_id="answers", bootstrap_servers=stack.bootstrap_servers
        )
        await consumer.start()
        try:
            told = [await coordinator_answers(consumer, within=2)]
            freeze(stack.kafka.pid)
            told.append(await coordinator_answers(consumer, within=0.5))
            os.kill(stack.kafka.pid, signal.SIGCONT)
            return [*told, await coordinator_answers(consumer, within=5)]
        finally:
            os.kill(stack.kafka.pid, signal.SIGCONT)
            await consumer.stop()

    try:
        [topic] = [one for one in catalogue() if one.name == EVALUATIONS]
        kafka_admin.apply(
            [replace(topic, name="answers")], {"bootstrap.servers": stack.bootstrap_servers}
        )
        assert asyncio.run(ask()) == [True, False, True]
    finally:
        down(tmp_path)
