"""Stored record batches (message format 2) as bytes: header, checksum, sifting of the records.

The format is described at https://kafka.apache.org/documentation/#recordbatch.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import crc32c

from pipeline.core.model import Position
from pipeline.ports import Candidate, Headers, Sieve
from pipeline.reader.batch import Partition
from pipeline.reader.compression import Bytes, Decompressor
from pipeline.reader.malformed import Malformed

PREFIX_SIZE: Final = 12
"""Bytes of base offset and length, which stand before every stored batch of any format."""

HEADER_SIZE: Final = 61

_PREFIX: Final = struct.Struct(">qi")
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_MAGIC_AT: Final = 16
_CHECKED_FROM: Final = 21
_CODEC_MASK: Final = 0x07
_LOG_APPEND_TIME: Final = 0x08
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_ABORT: Final = 0


class Header(NamedTuple):
    """The header of a stored batch."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def next_offset(self) -> int:
        """The offset after the batch, whatever compaction took out of it."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def is_control(self) -> bool:
        """Whether it holds a transaction marker instead of values."""
        return bool(self.attributes & _CONTROL)

    @property
    def is_transactional(self) -> bool:
        """Whether it is part of a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)


@dataclass(frozen=True, slots=True)
class Sifted:
    """What is left of a stretch of a partition, and where the next one begins."""

    first_offset: int
    next_offset: int
    count: int
    candidates: list[Candidate]


def extents(data: Bytes) -> Iterator[tuple[int, int]]:
    """Yield where each whole stored batch begins and ends; the broker may cut off the last."""
    start = 0
    while len(data) - start >= PREFIX_SIZE:
        _, length = _PREFIX.unpack_from(data, start)
        stop = start + PREFIX_SIZE + length
        if length < 0 or stop > len(data):
            return
        yield start, stop
        start = stop


def magic(data: Bytes, start: int, stop: int) -> int:
    """Return the format of a stored batch.

    Raises:
        Malformed: the batch is too short to say.
    """
    if stop - start <= _MAGIC_AT:
        raise Malformed(f"{stop - start} bytes are too few for a batch")
    return data[start + _MAGIC_AT]


def read_header(data: Bytes, start: int, stop: int) -> Header:
    """Return the header of a stored batch of format 2.

    Raises:
        Malformed: the batch is shorter than a header.
    """
    if stop - start < HEADER_SIZE:
        raise Malformed(f"{stop - start} bytes are too few for a batch")
    return Header._make(_HEADER.unpack_from(data, start))


def checksum_holds(data: Bytes, start: int, stop: int, header: Header) -> bool:
    """Tell whether the bytes of the batch are those that the producer sent."""
    checksum: int = crc32c.crc32c(memoryview(data)[start + _CHECKED_FROM : stop])
    return checksum == header.crc


class Payload(NamedTuple):
    """The records of a stored batch, decompressed: a stretch of some bytes."""

    data: Bytes
    start: int
    stop: int


def read_payload(
    data: Bytes, start: int, stop: int, header: Header, decompressor: Decompressor
) -> Payload:
    """Return the records of a stored batch; if compressed, good until the next decompression.

    Raises:
        Malformed: the compression is unknown, or the records are not of it.
    """
    codec = header.attributes & _CODEC_MASK
    if codec == 0:
        return Payload(data, start + HEADER_SIZE, stop)
    records = decompressor.decompress(codec, memoryview(data)[start + HEADER_SIZE : stop])
    return Payload(records, 0, len(records))


def marks_abort(payload: Payload) -> bool:
    """Tell whether the payload of a control batch says that a transaction was aborted."""
    try:
        marker = next(_records(payload), None)
        if marker is None:
            raise Malformed("a control batch without a marker")
        _, kind = struct.unpack_from(">hh", marker.key or b"")
    except (IndexError, struct.error) as error:
        raise Malformed("a transaction marker that says nothing") from error
    return bool(kind == _ABORT)


def sift(
    payload: Payload,
    header: Header,
    partition: Partition,
    start_offset: int,
    end_offset: int,
    sieve: Sieve | None,
) -> Sifted:
    """Count the values of a payload within [start, end), and take those that the sieve admits.

    All of the payload is searched at once, and records are told apart only where a decisive word
    ends. As such a word may reach over the border of a value, the value itself is asked again.

    Raises:
        Malformed: the records are not laid out as they say.
    """
    wanted = range(start_offset - header.base_offset, end_offset - header.base_offset)
    try:
        count = header.record_count
        if wanted.start > 0 or wanted.stop <= header.last_offset_delta:
            count = sum(record.offset_delta in wanted for record in _records(payload))
        records = _records(payload) if sieve is None else _spotted(payload, sieve)
        candidates = [
            Candidate(
                Position(*partition, header.base_offset + record.offset_delta),
                record.value,
                record.key,
                record.headers,
                _timestamp(record, header),
            )
            for record in records
            if record.value is not None
            and record.offset_delta in wanted
            and (sieve is None or sieve.admits(record.value))
        ]
    except (IndexError, struct.error) as error:
        raise Malformed("a record reaches over the end of its batch") from error
    return Sifted(start_offset, min(header.next_offset, end_offset), count, candidates)


class _Record(NamedTuple):
    timestamp_delta: int
    offset_delta: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def _timestamp(record: _Record, header: Header) -> int:
    if header.attributes & _LOG_APPEND_TIME:
        return header.max_timestamp
    return header.first_timestamp + record.timestamp_delta


def _records(payload: Payload) -> Iterator[_Record]:
    data, position, stop = payload
    while position < stop:
        length, start = _varint(data, position)
        position = _end_of(length, start, stop)
        yield _read_record(data, start, position)


def _spotted(payload: Payload, sieve: Sieve) -> Iterator[_Record]:
    """Yield the records in which decisive words end.

    All records before them are stepped over here, so a length of up to two bytes, which is one of
    up to 8 KiB, is read in place.
    """
    data, position, stop = payload
    for spot in sieve.spots(memoryview(data)[position:stop]):
        spot_end = payload.start + spot
        if position >= spot_end:
            continue
        while position < spot_end:
            low = data[position]
            if low < 0x80:
                start = position + 1
                position = start + (low >> 1)
            elif (high := data[position + 1]) < 0x80:
                start = position + 2
                position = start + (((low & 0x7F) | (high << 7)) >> 1)
            else:
                length, start = _varint(data, position)
                position = start + length
                low = 0 if length >= 0 else 1
            if low & 1 or position > stop:
                raise Malformed(
                    f"a record of {position - start} bytes, where {stop - start} are left"
                )
        yield _read_record(data, start, position)


def _end_of(length: int, start: int, stop: int) -> int:
    if not 0 <= length <= stop - start:
        raise Malformed(f"a record of {length} bytes, where {stop - start} are left")
    return start + length


def _read_record(data: Bytes, start: int, stop: int) -> _Record:
    timestamp_delta, position = _varint(data, start + 1)
    offset_delta, position = _varint(data, position)
    key, position = _nullable(data, position)
    value, position = _nullable(data, position)
    headers: list[tuple[str, bytes]] = []
    header_count, position = _varint(data, position)
    for _ in range(header_count):
        name, position = _nullable(data, position)
        content, position = _nullable(data, position)
        # Clients may write any bytes as a name; one of them must not stop the partition.
        headers.append(((name or b"").decode(errors="replace"), content or b""))
    if position != stop:
        raise Malformed(f"a record of {stop - start} bytes holds {position - start}")
    return _Record(timestamp_delta, offset_delta, key, value, tuple(headers))


def _nullable(data: Bytes, position: int) -> tuple[bytes | None, int]:
    length, position = _varint(data, position)
    if length < 0:
        return None, position
    return bytes(data[position : position + length]), position + length


def _varint(data: Bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    position += 1
    value = byte & 0x7F
    shift = 7
    while byte & 0x80:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return (value >> 1) ^ -(value & 1), position
