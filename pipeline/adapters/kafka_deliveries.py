"""A Kafka producer for asyncio: a send returns when every record of it is confirmed.

confluent-kafka's own `AIOProducer` refuses headers and holds records back in a buffer, so this is
a small bridge of our own: one thread polls for delivery reports and wakes the loop.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline.adapters.kafka_refusals import refusal
from pipeline.core.errors import BrokerUnavailable, ConfigError
from pipeline.ports import Headers
from topics.catalogue import DEAD_LETTER_MAX_BYTES

_BYTES_AT_ONCE: Final = 16 * 1024 * 1024
_RECORDS_AT_ONCE: Final = 10_000
_POLL_SECONDS: Final = 0.1
_AFTER_THE_TIME_OUT: Final = timedelta(seconds=5)
_WRONG_FOR_EVER: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})
_DEFAULTS: Final = {
    "acks": "all",
    "enable.idempotence": "true",
    "linger.ms": "0",  # the first requests of a batch need not wait for others
    "compression.type": "zstd",
    "message.max.bytes": str(DEAD_LETTER_MAX_BYTES),
    "log_level": "0",  # what matters comes back as an error
}

_FATAL: Final = KafkaError._FATAL  # noqa: SLF001 - librdkafka's name of a local error

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record on its way to a topic; without a partition, Kafka's partitioner places it."""

    topic: str
    value: bytes | None
    key: bytes | None
    headers: Headers = ()
    partition: int = -1


class Deliveries:
    """An idempotent producer with `acks=all` whose sends end with a confirmation or an error.

    Args:
        client: librdkafka's settings, `bootstrap.servers` among them.
        time_out: How long a delivery may take before it counts as not confirmed.
    """

    def __init__(
        self, client: Mapping[str, str], *, time_out: timedelta = timedelta(seconds=10)
    ) -> None:
        self._settings = {
            **client,
            **_DEFAULTS,
            "delivery.timeout.ms": str(time_out // timedelta(milliseconds=1)),
        }
        self._time_out = time_out
        self._producer = Producer(self._settings)
        self._fatal: KafkaError | None = None
        self._closed = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka-deliveries", daemon=True)
        self._poller.start()

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Send the records and wait until all are confirmed.

        Raises:
            BrokerRefuses: our user may not write there.
            BrokerUnavailable: not all were confirmed in time; some may have been delivered.
            ConfigError: a record is one that its topic will never take.
        """
        for few in _slices(records):
            await self._send(few)

    async def _send(self, records: Sequence[Outgoing]) -> None:
        flight = _Flight(asyncio.get_running_loop(), len(records))
        producer = self._producer
        for record in records:
            self._produce(producer, record, flight)
        patience = self._time_out + _AFTER_THE_TIME_OUT
        try:
            await asyncio.wait_for(flight.landed, patience.total_seconds())
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"{records[0].topic}: no answer within {patience}: see whether the brokers are up"
            ) from error
        if flight.error is not None:
            # After a fatal error the reports only say that records were thrown away.
            reason = self._fatal or flight.error
            if reason.fatal():
                self._replace(producer, reason)
            raise _unconfirmed(reason, flight.topic)

    async def close(self) -> None:
        """Give up what is not confirmed, and stop the thread."""
        self._closed.set()
        await asyncio.to_thread(self._poller.join)
        self._producer.purge()

    def _produce(self, producer: Producer, record: Outgoing, flight: "_Flight") -> None:
        try:
            producer.produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                on_delivery=flight.on_delivery,
                headers=list(record.headers),
            )
        except BufferError as full:
            raise BrokerUnavailable(
                f"{record.topic}: the producer's queue is full: see whether the brokers are up"
            ) from full
        except KafkaException as refused:
            error: KafkaError = refused.args[0]
            if error.fatal() or error.code() == _FATAL:
                self._replace(producer, error)
            raise _unconfirmed(error, record.topic) from refused

    def _replace(self, broken: Producer, error: KafkaError) -> None:
        """Go on with a new producer, since one with a fatal error confirms nothing any more."""
        if self._producer is broken:
            _log.warning("producer.replaced", error=error.str())
            self._producer, self._fatal = Producer(self._settings), None

    def _poll(self) -> None:
        while not self._closed.is_set():
            producer = self._producer
            try:
                producer.poll(_POLL_SECONDS)
            except KafkaException as fatal:  # raised here once, whatever the call
                if producer is self._producer:
                    self._fatal = fatal.args[0]


def _slices(records: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """Part records so that what is on its way at once fits into the producer's queue."""
    first, size = 0, 0
    for place, record in enumerate(records):
        if place > first and (size > _BYTES_AT_ONCE or place - first >= _RECORDS_AT_ONCE):
            yield records[first:place]
            first, size = place, 0
        size += len(record.value or b"")
    if records:
        yield records[first:]


class _Flight:
    """Counts the delivery reports of one send, in the poller's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self.landed: asyncio.Future[None] = loop.create_future()
        self.error: KafkaError | None = None
        self.topic = ""
        self._loop = loop
        self._waiting = count

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self.error is None:
            self.error, self.topic = error, message.topic() or ""
        self._waiting -= 1
        if self._waiting == 0 and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._land)

    def _land(self) -> None:
        if not self.landed.done():
            self.landed.set_result(None)


def _unconfirmed(error: KafkaError, topic: str) -> BrokerUnavailable | ConfigError:
    if error.code() in _WRONG_FOR_EVER:
        return ConfigError(f"{topic}: {error.str()}: raise the topic's max.message.bytes")
    if (refused := refusal(f"topic {topic}", error, "Write")) is not None:
        return refused
    return BrokerUnavailable(f"{topic}: not confirmed: {error.str()}: see whether it is up")
