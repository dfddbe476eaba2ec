"""Batches come from aiokafka's own builder, and aiokafka's own unpacking is the judge."""

import struct
from collections.abc import Sequence

import crc32c
import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.model import Position
from pipeline.ports import Candidate, Sieve
from pipeline.reader import records
from pipeline.reader.batch import Partition
from pipeline.reader.compression import Decompressor
from pipeline.reader.malformed import Malformed
from pipeline.reader.records import Sifted

HERE = Partition("t", 3)
NEEDLE = b"needle"
DECOMPRESSOR = Decompressor()
END = 1 << 62

Header = tuple[str, bytes | None]
Record = tuple[bytes | None, bytes | None, list[Header], int]


class Needle:
    """A sieve for one word."""

    def spots(self, data: bytes | memoryview) -> Sequence[int]:
        found, rest = [], bytes(data)
        at = rest.find(NEEDLE)
        while at >= 0:
            found.append(at + len(NEEDLE))
            at = rest.find(NEEDLE, at + 1)
        return found

    def admits(self, value: bytes) -> bool:
        return NEEDLE in value


CODECS = st.sampled_from([0, 1, 2, 3, 4])
TEXTS = st.one_of(
    st.none(),
    st.binary(max_size=300),
    st.tuples(st.binary(max_size=200), st.binary(max_size=200)).map(NEEDLE.join),
    st.sampled_from([NEEDLE, NEEDLE[:3], NEEDLE[3:], NEEDLE * 3]),
)
HEADERS = st.lists(st.tuples(st.text(max_size=9), TEXTS), max_size=3)
RECORDS = st.lists(
    st.tuples(TEXTS, TEXTS, HEADERS, st.integers(min_value=-(10**6), max_value=10**6)),
    min_size=1,
    max_size=30,
)


def a_batch(rows: Sequence[Record], *, base_offset: int = 0, codec: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    for index, (key, value, headers, time) in enumerate(rows):
        builder.append(index, 1_700_000_000_000 + time, key, value, headers)
    built = builder.build()
    struct.pack_into(">q", built, 0, base_offset)
    return bytes(built)


def a_value(value: bytes | None, key: bytes | None = None) -> Record:
    return key, value, [], 0


def with_attributes(batch: bytes, attributes: int) -> bytes:
    changed = bytearray(batch)
    struct.pack_into(">h", changed, 21, attributes)
    struct.pack_into(">I", changed, 17, crc32c.crc32c(changed[21:]))
    return bytes(changed)


def sift(
    batch: bytes, *, start_offset: int = 0, end_offset: int = END, sieve: Sieve | None = None
) -> Sifted:
    [(start, stop)] = records.extents(batch)
    header = records.read_header(batch, start, stop)
    payload = records.read_payload(batch, start, stop, header, DECOMPRESSOR)
    return records.sift(payload, header, HERE, start_offset, end_offset, sieve)


def judged(
    batch: bytes, *, start_offset: int, end_offset: int = END, sieve: Sieve | None
) -> tuple[int, list[Candidate]]:
    kept = [one for one in DefaultRecordBatch(batch) if start_offset <= one.offset < end_offset]
    candidates = [
        Candidate(
            Position(*HERE, record.offset),
            record.value,
            record.key,
            tuple((name, content or b"") for name, content in record.headers),
            record.timestamp,
        )
        for record in kept
        if record.value is not None and (sieve is None or sieve.admits(record.value))
    ]
    return len(kept), candidates


@settings(max_examples=200)
@given(
    RECORDS,
    CODECS,
    st.integers(0, 1 << 40),
    st.integers(-5, 35),
    st.one_of(st.integers(0, 35), st.just(1 << 50)),
    st.booleans(),
)
def test_sifting_counts_and_keeps_what_aiokafka_would(
    rows: list[Record], codec: int, base_offset: int, skipped: int, size: int, sieved: bool
) -> None:
    batch = a_batch(rows, base_offset=base_offset, codec=codec)
    sieve = Needle() if sieved else None
    start = base_offset + skipped

    sifted = sift(batch, start_offset=start, end_offset=start + size, sieve=sieve)

    assert (sifted.count, sifted.candidates) == judged(
        batch, start_offset=start, end_offset=start + size, sieve=sieve
    )
    assert sifted.next_offset == min(base_offset + len(rows), start + size)


def test_a_batch_without_a_decisive_word_is_only_counted() -> None:
    batch = a_batch([a_value(b"hay")] * 5, base_offset=40)

    sifted = sift(batch, start_offset=40, sieve=Needle())

    assert sifted == Sifted(40, 45, 5, [])


def test_a_word_in_the_key_or_over_a_border_makes_no_candidate() -> None:
    batch = a_batch([a_value(b"hay", key=NEEDLE), a_value(b"dle", key=b"nee"), a_value(b"hay")])

    assert sift(batch, sieve=Needle()) == Sifted(0, 3, 3, [])


def test_a_tombstone_counts_and_is_no_candidate() -> None:
    sifted = sift(a_batch([a_value(None), a_value(b"x")]))

    assert sifted.count == 2
    assert [candidate.position.offset for candidate in sifted.candidates] == [1]


def test_the_time_of_appending_holds_where_the_topic_says_so() -> None:
    batch = with_attributes(a_batch([(None, b"x", [], 0), (None, b"y", [], 500)]), 0x08)

    times = [candidate.timestamp_ms for candidate in sift(batch).candidates]

    assert times == [1_700_000_000_500] * 2


def test_a_header_name_that_is_no_text_is_read_all_the_same() -> None:
    batch = bytearray(a_batch([(None, b"x", [("name", b"v")], 0)]))
    batch[batch.index(b"name")] = 0xFF

    [candidate] = sift(bytes(batch)).candidates

    assert candidate.headers == (("\ufffdame", b"v"),)


def test_batches_are_told_apart_and_one_that_was_cut_off_is_left() -> None:
    first, second = a_batch([a_value(b"a")]), a_batch([a_value(b"b")], base_offset=1)

    found = list(records.extents(first + second[:-1]))

    assert found == [(0, len(first))]
    assert list(records.extents(first + second)) == [
        (0, len(first)),
        (len(first), len(first + second)),
    ]


@pytest.mark.parametrize("at", [21, 60, 61, 70])
def test_one_changed_bit_is_told_by_the_checksum(at: int) -> None:
    batch = bytearray(a_batch([a_value(b"some value")]))
    header = records.read_header(bytes(batch), 0, len(batch))
    assert records.checksum_holds(bytes(batch), 0, len(batch), header)

    batch[at] ^= 0x10

    assert not records.checksum_holds(bytes(batch), 0, len(batch), header)


@given(RECORDS, st.integers(min_value=0), st.integers(1, 255), st.booleans())
def test_a_payload_that_is_not_laid_out_as_it_says_is_malformed_or_read_and_never_else(
    rows: list[Record], at: int, change: int, sieved: bool
) -> None:
    batch = bytearray(a_batch(rows))
    batch[records.HEADER_SIZE + at % (len(batch) - records.HEADER_SIZE)] ^= change

    try:
        sifted = sift(bytes(batch), sieve=Needle() if sieved else None)
    except Malformed:
        return

    assert sifted.count == len(rows)


def test_a_record_that_reaches_over_the_end_of_its_batch_is_malformed() -> None:
    batch = a_batch([a_value(b"x" * 20)])
    payload = records.Payload(batch, records.HEADER_SIZE, len(batch) - 1)

    with pytest.raises(Malformed, match="where 25 are left"):
        records.sift(payload, records.read_header(batch, 0, len(batch)), HERE, 0, END, None)


def test_an_unknown_compression_is_malformed() -> None:
    batch = with_attributes(a_batch([a_value(b"x")]), 5)

    with pytest.raises(Malformed, match="compression 5"):
        sift(batch)


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_what_was_not_compressed_so_is_malformed(codec: int) -> None:
    batch = with_attributes(a_batch([a_value(b"x" * 100)]), codec)

    with pytest.raises(Malformed, match=f"compression {codec}"):
        sift(batch)


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_batches_of_any_size_are_decompressed_one_after_another(codec: int) -> None:
    sizes = [10, 3 << 20, 20 << 20, 3 << 20, 10]  # within the buffer, beyond it, beyond its bound
    batches = [a_batch([a_value(b"%d" % size + b"." * size)], codec=codec) for size in sizes]

    found = [sift(batch).candidates[0].value for batch in batches]

    assert found == [b"%d" % size + b"." * size for size in sizes]


@pytest.mark.parametrize(("kind", "aborts"), [(0, True), (1, False)])
def test_a_marker_tells_an_abort_from_a_commit(kind: int, aborts: bool) -> None:
    batch = a_batch([a_value(b"", key=struct.pack(">hh", 0, kind))])

    payload = records.Payload(batch, records.HEADER_SIZE, len(batch))

    assert records.marks_abort(payload) is aborts
