"""The one place that reaches into private parts of aiokafka, and why.

Made for aiokafka 0.14; `tests/contract/test_aiokafka_parts.py` fails on a version where one of
these parts has changed. All changes are made to our own consumer's objects, none to aiokafka.

1. *The sieve in the fetcher.* aiokafka makes a Python object of every record, at 3 times the cost
   of all the rest. `Fetcher._proc_fetch_request` takes an answer apart with two classes that it
   finds by name, `MemoryRecords` and `PartitionRecords`. Our fetcher runs the same code with two
   others, which search the bytes of each stored batch and keep the candidates.
2. *Patience.* `AIOKafkaClient._metadata_update` is called again at once when no broker answers:
   thousands of times a second and half a core for as long as the broker is away.
3. *A bounded end.* `AIOKafkaConsumer.stop` waits without bound for a broker that is away, and can
   end with its connections and tasks left open; `abandon` closes those.
4. *Whether the coordinator answers.* A frozen broker keeps its connections, and a join may wait on
   one for half a minute with nothing wrong. So the coordinator is asked something else, on the
   connection for everything else: requests behind a join wait for its answer.
"""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher as fetching
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.memory_records import MemoryRecords

from pipeline.core.model import Position
from pipeline.ports import Candidate
from pipeline.reader import records
from pipeline.reader.batch import Partition
from pipeline.reader.records import Malformed, Sifted
from pipeline.reader.sieve import Sieve


def sift_fetched(
    consumer: AIOKafkaConsumer,
    sieve: Sieve | None,
    batch_candidates: int,
    arrived: Callable[[], None],
) -> None:
    """Let `getmany` of a started consumer return `Sifted` stretches instead of records.

    Args:
        consumer: Started, and not subscribed to anything yet.
        sieve: Lets values through; None lets every value through but tombstones.
        batch_candidates: A stretch ends with the stored batch that brings it to so many.
        arrived: Called when something may be ready for `getmany`.
    """
    fetcher = consumer._fetcher  # noqa: SLF001 - part 1
    original = fetching.Fetcher._proc_fetch_request  # noqa: SLF001 - part 1
    names = {
        **original.__globals__,
        "MemoryRecords": StoredBatches,
        "PartitionRecords": partial(SiftedRecords, sieve, batch_candidates),
    }
    sifting = MethodType(FunctionType(original.__code__, names), fetcher)

    async def proc_fetch_request(*args: Any) -> bool:
        has_news: bool = await sifting(*args)
        if has_news:
            arrived()
        return has_news

    fetcher._proc_fetch_request = proc_fetch_request  # noqa: SLF001 - part 1


def be_patient(consumer: AIOKafkaConsumer, pause: float) -> None:
    """Let the client pause after every broker has refused to tell the metadata."""
    client = consumer._client  # noqa: SLF001 - part 2
    update = client._metadata_update  # noqa: SLF001 - part 2

    async def metadata_update(*args: Any) -> bool:
        updated: bool = await update(*args)
        if not updated:
            await asyncio.sleep(pause)
        return updated

    client._metadata_update = metadata_update  # noqa: SLF001 - part 2


async def abandon(consumer: AIOKafkaConsumer) -> None:
    """Cancel the tasks of a consumer whose `stop` did not end, and close its connections."""
    coordinator, fetcher = consumer._coordinator, consumer._fetcher  # noqa: SLF001 - part 3
    tasks = [
        coordinator and coordinator._coordination_task,  # noqa: SLF001 - part 3
        coordinator and coordinator._heartbeat_task,  # noqa: SLF001 - part 3
        coordinator and coordinator._commit_refresh_task,  # noqa: SLF001 - part 3
        fetcher and fetcher._fetch_task,  # noqa: SLF001 - part 3
        *(fetcher._pending_tasks if fetcher else ()),  # noqa: SLF001 - part 3
    ]
    running = [task for task in tasks if task is not None and not task.done()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await consumer._client.close()  # noqa: SLF001 - part 3


async def coordinator_answers(consumer: AIOKafkaConsumer, within: float) -> bool:
    """Tell whether the coordinator of the group is known, and answers in so many seconds."""
    coordinator = consumer._coordinator  # noqa: SLF001 - part 4
    node = coordinator and coordinator.coordinator_id
    if node is None:
        return False
    try:
        async with asyncio.timeout(within):
            await consumer._client.send(node, MetadataRequest([]))  # noqa: SLF001 - part 4
    except (KafkaError, TimeoutError):
        return False
    return True


class StoredBatches:
    """Stands for aiokafka's `MemoryRecords`: the bytes of a fetched partition, not taken apart."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def has_next(self) -> bool:
        """Tell whether there is one whole stored batch."""
        return next(records.extents(self.data), None) is not None

    def size_in_bytes(self) -> int:
        """Return how many bytes there are, those of a batch that was cut off included."""
        return len(self.data)


class SiftedRecords(fetching.PartitionRecords):  # type: ignore[misc]
    """Stands for aiokafka's `PartitionRecords`: iterates over `Sifted` instead of records.

    Control batches and aborted transactions are passed over as aiokafka does for a reader of
    committed values.
    """

    next_fetch_offset: int

    def __init__(
        self, sieve: Sieve | None, batch_candidates: int, tp: TopicPartition, *args: Any
    ) -> None:
        super().__init__(tp, *args)
        self._sieve = sieve
        self._batch_candidates = batch_candidates
        self._partition = Partition(tp.topic, tp.partition)

    def _unpack_records(self) -> Iterator[Sifted]:
        first: int = self.next_fetch_offset
        count, candidates = 0, list[Candidate]()
        for start, stop in records.extents(self._records.data):
            try:
                sifted = self._sift(self._records.data, start, stop)
            except Malformed as error:
                where = Position(*self._partition, self.next_fetch_offset)
                raise CorruptRecordException(
                    f"{where}: {error}: compare the replicas of the partition"
                ) from error
            self.next_fetch_offset = max(self.next_fetch_offset, sifted.next_offset)
            count += sifted.count
            candidates += sifted.candidates
            if len(candidates) >= self._batch_candidates:
                yield Sifted(first, self.next_fetch_offset, count, candidates)
                first = self.next_fetch_offset
                count, candidates = 0, []
        if self.next_fetch_offset > first:
            yield Sifted(first, self.next_fetch_offset, count, candidates)

    def _sift(self, data: bytes, start: int, stop: int) -> Sifted:
        if records.magic(data, start, stop) < 2:
            return self._sift_old(data[start:stop])
        header = records.read_header(data, start, stop)
        if not records.checksum_holds(data, start, stop, header):
            raise Malformed("the checksum is wrong")
        nothing = Sifted(self.next_fetch_offset, header.next_offset, 0, [])
        self._consume_aborted_up_to(header.base_offset)
        if header.is_control:
            if records.marks_abort(records.read_payload(data, start, stop, header)):
                self._aborted_producers.discard(header.producer_id)
            return nothing
        if header.is_transactional and header.producer_id in self._aborted_producers:
            return nothing
        payload = records.read_payload(data, start, stop, header)
        return records.sift(payload, header, self._partition, self.next_fetch_offset, self._sieve)

    def _sift_old(self, stored: bytes) -> Sifted:
        """Sift a batch of format 0 or 1, which brokers before 0.11 wrote, value by value."""
        batch = MemoryRecords(stored).next_batch()
        if not batch.validate_crc():
            raise Malformed("the checksum is wrong")
        admits = (lambda _: True) if self._sieve is None else self._sieve.admits
        kept = [record for record in batch if record.offset >= self.next_fetch_offset]
        candidates = [
            Candidate(
                Position(*self._partition, record.offset),
                record.value,
                record.key,
                timestamp_ms=record.timestamp or 0,
            )
            for record in kept
            if record.value is not None and admits(record.value)
        ]
        return Sifted(self.next_fetch_offset, batch.next_offset, len(kept), candidates)
