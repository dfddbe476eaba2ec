"""Bounded stretches of partitions through the worker's own hot path, for callers without a loop."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    KafkaError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from pipeline.core.errors import BrokerUnavailable
from pipeline.ports import Sieve
from pipeline.reader.aiokafka_parts import fetched
from pipeline.reader.connection import disconnect, refusal, sifting_consumer, start
from pipeline.reader.records import Sifted
from pipeline.reader.sifting import Sifter

_FETCH_BYTES: Final = 8 << 20
_SLICE_SECONDS: Final = 0.2
_LEAVES_WITHIN: Final = 1.0


class SiftedSlices:
    """Reads stretches of partitions, one after another, without a group and without commits.

    Args:
        client: Arguments of `AIOKafkaConsumer`, `bootstrap_servers` among them.
        sieve: Lets values through.
        within: How long the broker may be silent.

    Raises:
        BrokerUnavailable: no broker answers.
    """

    def __init__(self, client: Mapping[str, Any], sieve: Sieve, within: timedelta) -> None:
        self._sifter = Sifter(sieve, batch_candidates=1 << 30)
        self._within = within.total_seconds()
        self._received: list[Sifted] = []
        self._runner = asyncio.Runner()
        try:
            self._consumer = self._runner.run(self._started(client))
        except BaseException:
            self._runner.close()
            raise

    def close(self) -> None:
        """Let go of the broker."""
        self._runner.run(disconnect(self._consumer, within=_LEAVES_WITHIN))
        self._runner.close()

    def read(self, topic: str, partition: int, first: int, end: int) -> Iterator[Sifted]:
        """Yield what is left of the committed values of the offsets [first, end).

        Raises:
            BrokerRefuses: our user may not read there.
            BrokerUnavailable: the broker does not answer, the records are gone, or a stored batch
                is not as it should be.
        """
        ours, where = TopicPartition(topic, partition), f"{topic}[{partition}]@{first}..{end}"
        self._sifter.end = end
        try:
            self._runner.run(self._go_to(ours, first))
            at, heard_at = first, time.monotonic()
            while at < end:
                self._runner.run(self._receive(ours))
                for sifted in self._received:
                    at, heard_at = sifted.next_offset, time.monotonic()
                    yield sifted
                if time.monotonic() - heard_at > self._within:
                    raise BrokerUnavailable(
                        f"{where}: nothing comes for {self._within:g} s: is the broker there"
                    )
        except TopicAuthorizationFailedError as error:
            raise refusal(error) from error
        except OffsetOutOfRangeError as error:
            raise BrokerUnavailable(
                f"{where}: its records were deleted meanwhile: begin again"
            ) from error
        except KafkaError as error:
            raise BrokerUnavailable(f"{where}: {error}: is the broker there") from error

    async def _started(self, client: Mapping[str, Any]) -> AIOKafkaConsumer:
        consumer = sifting_consumer(
            self._sifter,
            auto_offset_reset="none",  # a lost offset must not pass for an end or a beginning
            fetch_max_bytes=_FETCH_BYTES,
            max_partition_fetch_bytes=_FETCH_BYTES,
            **client,
        )
        await start(consumer, client["bootstrap_servers"], self._within)
        fetched.hand_on_sifted(consumer, lambda: None)
        return consumer

    async def _go_to(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.assign([partition])
        self._consumer.seek(partition, offset)

    async def _receive(self, partition: TopicPartition) -> None:
        # Not returned: the runner shows the signal module its task, which writes out its result.
        found: dict[TopicPartition, list[Sifted]] = await self._consumer.getmany(
            partition, timeout_ms=round(1000 * _SLICE_SECONDS)
        )
        self._received = found.get(partition, [])
