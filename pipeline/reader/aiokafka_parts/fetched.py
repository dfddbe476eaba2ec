"""Part 2: what was sifted goes through aiokafka's fetcher in the place of records."""

from collections.abc import Callable, Iterator
from functools import cache
from types import FunctionType, MethodType
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import CorruptRecordException

from pipeline.reader.batch import Partition
from pipeline.reader.records import Sifted
from pipeline.reader.sifting import Fetched, Sifter


def sift_answer(sifter: Sifter, request: Any, response: Any) -> None:
    """Replace the stored batches in the answer to a fetch, of whatever version, by `Fetched`."""
    asked, told = _members(request.SCHEMA), _members(response.SCHEMA)
    offset_at = asked.index("fetch_offset" if "fetch_offset" in asked else "offset")
    aborted_at = told.index("aborted_transactions") if "aborted_transactions" in told else None
    offsets = {
        (topic, each[0]): each[offset_at]
        for topic, partitions in request.topics
        for each in partitions
    }
    for topic, partitions in response.topics:
        for index, each in enumerate(partitions):
            partition = Partition(topic, each[0])
            # Where none was aborted, there may be nothing in place of an empty list.
            aborted = (aborted_at is not None and each[aborted_at]) or ()
            fetched = sifter.sift(each[-1] or b"", partition, offsets[partition], aborted)
            partitions[index] = (*each[:-1], fetched)


@cache
def _members(schema: Any) -> tuple[str, ...]:
    """Name what a request or an answer says of each partition; the first is its number."""
    topics = schema.fields[schema.names.index("topics")]
    names: tuple[str, ...] = topics.array_of.fields[1].array_of.names
    return names


def hand_on_sifted(consumer: AIOKafkaConsumer, arrived: Callable[[], None]) -> None:
    """Let `getmany` of a started consumer return `Sifted` stretches instead of records.

    Args:
        consumer: Started, and not subscribed to anything yet; what it receives is sifted.
        arrived: Called when something may be ready for `getmany`.
    """
    fetcher = consumer._fetcher  # noqa: SLF001 - part 2
    original = Fetcher._proc_fetch_request  # noqa: SLF001 - part 2
    names = {
        **original.__globals__,
        "MemoryRecords": SiftedBatches,
        "PartitionRecords": SiftedRecords,
    }
    sifted = MethodType(FunctionType(original.__code__, names), fetcher)

    async def proc_fetch_request(*args: Any) -> bool:
        has_news: bool = await sifted(*args)
        if has_news:
            arrived()
        return has_news

    fetcher._proc_fetch_request = proc_fetch_request  # noqa: SLF001 - part 2


class SiftedBatches:
    """Stands for aiokafka's `MemoryRecords`: what was fetched of a partition, sifted already."""

    def __init__(self, fetched: Fetched) -> None:
        self.fetched = fetched

    def has_next(self) -> bool:
        """Tell whether there was one whole stored batch."""
        return self.fetched.is_whole

    def size_in_bytes(self) -> int:
        """Return how many bytes there were, those of a batch that was cut off included."""
        return self.fetched.size


class SiftedRecords:
    """Stands for aiokafka's `PartitionRecords`: iterates over `Sifted` instead of records.

    Raises:
        CorruptRecordException: when it comes to a stored batch that is not as it should be.
    """

    def __init__(
        self, _tp: TopicPartition, records: SiftedBatches, _aborted: Any, offset: int, *_: Any
    ) -> None:
        self.next_fetch_offset = offset
        self._fetched = records.fetched
        self._stretches = iter(records.fetched.stretches)

    def __iter__(self) -> Iterator[Sifted]:
        return self

    def __next__(self) -> Sifted:
        stretch = next(self._stretches, None)
        if stretch is not None:
            self.next_fetch_offset = stretch.next_offset
            return stretch
        if self._fetched.error is not None:
            raise CorruptRecordException(str(self._fetched.error)) from self._fetched.error
        raise StopIteration
