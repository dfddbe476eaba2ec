"""What a fetch brought of one partition, sifted as it lies there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka.record.memory_records import MemoryRecords

from pipeline.core.model import Position
from pipeline.ports import Candidate, Sieve
from pipeline.reader import records
from pipeline.reader.batch import Partition
from pipeline.reader.compression import Bytes, Decompressor
from pipeline.reader.malformed import Malformed
from pipeline.reader.records import Sifted

NO_END: Final = 2**63 - 1
"""An offset that no partition reaches."""

Aborted = Sequence[tuple[int, int]]
"""Transactions that were aborted: the producer's id and the offset of the first record."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is left of the stored batches of one partition in one answer.

    Attributes:
        size: How many bytes there were, those of a batch that was cut off included.
        is_whole: Whether there was one whole batch at least.
        stretches: What was sifted, up to the first batch that is not as it should be.
        error: What is wrong with that batch.
    """

    size: int
    is_whole: bool
    stretches: Sequence[Sifted]
    error: Malformed | None = None


class Sifter:
    """Sifts stored batches; for one thread, as sieve and decompressor are.

    Args:
        sieve: Lets values through; None lets every value through but tombstones.
        batch_candidates: A stretch ends with the stored batch that brings it to so many.

    Attributes:
        end: The offset from which on nothing is wanted.
    """

    def __init__(self, sieve: Sieve | None, batch_candidates: int) -> None:
        self.end = NO_END
        self._sieve = sieve
        self._batch_candidates = batch_candidates
        self._decompressor = Decompressor()

    def sift(self, data: Bytes, partition: Partition, offset: int, aborted: Aborted) -> Fetched:
        """Sift what was fetched of a partition from an offset on; keeps no view of the data.

        Control batches and aborted transactions are passed over, as for a reader of committed
        values.
        """
        stretches: list[Sifted] = []
        is_whole = next(records.extents(data), None) is not None
        try:
            for stretch in self._stretches(data, partition, offset, _Aborted(aborted)):
                stretches.append(stretch)  # noqa: PERF402 - those before the error are kept
        except Malformed as error:
            return Fetched(len(data), is_whole, stretches, error)
        return Fetched(len(data), is_whole, stretches)

    def _stretches(
        self, data: Bytes, partition: Partition, first: int, aborted: "_Aborted"
    ) -> Iterator[Sifted]:
        after, count, candidates = first, 0, list[Candidate]()
        for start, stop in records.extents(data):
            if after >= self.end:
                break
            try:
                sifted = self._batch(data, start, stop, partition, after, aborted)
            except Malformed as error:
                where = Position(*partition, after)
                raise Malformed(
                    f"{where}: {error}: compare the replicas of the partition"
                ) from error
            after = max(after, sifted.next_offset)
            count += sifted.count
            candidates += sifted.candidates
            if len(candidates) >= self._batch_candidates:
                yield Sifted(first, after, count, candidates)
                first, count, candidates = after, 0, []
        if after > first:
            yield Sifted(first, after, count, candidates)

    def _batch(
        self,
        data: Bytes,
        start: int,
        stop: int,
        partition: Partition,
        offset: int,
        aborted: "_Aborted",
    ) -> Sifted:
        if records.magic(data, start, stop) < 2:
            return self._old_batch(bytes(data[start:stop]), partition, offset)
        header = records.read_header(data, start, stop)
        if not records.checksum_holds(data, start, stop, header):
            raise Malformed("the checksum is wrong")
        if header.is_transactional:
            aborted.come_to(header.base_offset)
            if header.is_control:
                payload = records.read_payload(data, start, stop, header, self._decompressor)
                if records.marks_abort(payload):
                    aborted.producers.discard(header.producer_id)
        is_aborted = header.is_transactional and header.producer_id in aborted.producers
        if header.is_control or is_aborted:
            return Sifted(offset, min(header.next_offset, self.end), 0, [])
        payload = records.read_payload(data, start, stop, header, self._decompressor)
        return records.sift(payload, header, partition, offset, self.end, self._sieve)

    def _old_batch(self, stored: bytes, partition: Partition, offset: int) -> Sifted:
        """Sift a batch of format 0 or 1, which brokers before 0.11 wrote, value by value."""
        batch = MemoryRecords(stored).next_batch()
        if not batch.validate_crc():
            raise Malformed("the checksum is wrong")
        admits = (lambda _: True) if self._sieve is None else self._sieve.admits
        kept = [record for record in batch if offset <= record.offset < self.end]
        candidates = [
            Candidate(
                Position(*partition, record.offset),
                record.value,
                record.key,
                timestamp_ms=record.timestamp or 0,
            )
            for record in kept
            if record.value is not None and admits(record.value)
        ]
        return Sifted(offset, min(batch.next_offset, self.end), len(kept), candidates)


class _Aborted:
    """Which producers' transactions are to be passed over, as the offset goes on."""

    def __init__(self, transactions: Aborted) -> None:
        self.producers: set[int] = set()
        self._coming = sorted(transactions, key=lambda each: each[1], reverse=True)

    def come_to(self, offset: int) -> None:
        while self._coming and self._coming[-1][1] <= offset:
            self.producers.add(self._coming.pop()[0])
