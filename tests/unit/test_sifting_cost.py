"""What sifting takes, in calls and bytes, which no machine's speed can blur."""

import struct
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from pipeline.reader import records
from pipeline.reader.batch import Partition
from pipeline.reader.compression import Decompressor
from pipeline.reader.records import Sifted
from pipeline.sources.sieve import Sieve

HERE = Partition("t", 3)
DULL = b'{"operationName":"Create ClientCertificate","properties":{}}'.ljust(1750)
HIT = b'{"operationName":"Create MobileAppAssignment","properties":{}}'.ljust(1750)
DECOMPRESSOR = Decompressor()
SIEVE = Sieve()


def a_batch(values: list[bytes]) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    for offset, value in enumerate(values):
        builder.append(offset, 0, None, value, [])
    built = builder.build()
    struct.pack_into(">q", built, 0, 0)
    return bytes(built)


def sifting(values: list[bytes]) -> Callable[[], Sifted]:
    data = a_batch(values)

    def sift() -> Sifted:
        [(start, stop)] = records.extents(data)
        header = records.read_header(data, start, stop)
        payload = records.read_payload(data, start, stop, header, DECOMPRESSOR)
        return records.sift(payload, header, HERE, 0, len(values), SIEVE)

    sift()  # what is made once is made
    return sift


def calls_of(act: Callable[[], object]) -> int:
    """Count the functions that are called, in Python and in C."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    former = sys.getprofile()
    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(former)
    return calls


def test_records_without_a_decisive_word_cost_no_call_each() -> None:
    few, many = sifting([DULL] * 100), sifting([DULL] * 2_000)

    assert calls_of(few) == calls_of(many)
    assert many() == Sifted(0, 2_000, 2_000, [])


def test_records_behind_the_last_decisive_word_cost_no_call_each() -> None:
    few, many = sifting([HIT, *[DULL] * 100]), sifting([HIT, *[DULL] * 2_000])

    assert calls_of(few) == calls_of(many)
    assert len(many().candidates) == 1


def test_a_record_on_the_way_to_a_decisive_word_costs_little_more_than_its_length() -> None:
    at_once, after_many = sifting([HIT]), sifting([*[DULL] * 1_000, HIT])

    assert calls_of(after_many) - calls_of(at_once) <= 3 * 1_000


@pytest.mark.parametrize("hits", [1, 20])
def test_only_candidates_take_memory(hits: int) -> None:
    values = [DULL] * 2_000
    for number in range(hits):
        values[number * 100] = HIT
    sift = sifting(values)

    tracemalloc.start()
    try:
        sifted = sift()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(sifted.candidates) == hits
    assert most < 4_000 + hits * (len(HIT) + 2_000)
