"""A producer of Kafka records that waits for room, and says at the end what did not arrive."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline.core.errors import BrokerUnavailable

Header = tuple[str, bytes]

_DEFAULTS: Final = {
    "enable.idempotence": "true",
    "linger.ms": "20",
    "log_level": "0",  # what matters comes back as an error
    "message.max.bytes": str(2 * 1024 * 1024),
    "message.timeout.ms": "30000",
    "queue.buffering.max.kbytes": str(64 * 1024),
}
_POLL_SECONDS: Final = 0.1
_POLL_EVERY: Final = 256


class KafkaProducer:
    """Sends values to topics and keeps the order within a partition.

    At most 64 MB wait for the broker; `send` then waits for room. A delivery that was not
    confirmed is raised by the next `send` or by `flush`, never lost.

    Args:
        settings: librdkafka's settings, `bootstrap.servers` among them; they win over ours.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._producer = Producer({**_DEFAULTS, **settings})
        self._undelivered = 0
        self._first_error: KafkaError | None = None
        self._first_topic: str | None = None
        self._sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.flush()
        else:
            self._producer.purge()
            self._producer.flush(_POLL_SECONDS)

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
    ) -> None:
        """Hand a value to the producer; wait while its queue is full.

        Raises:
            BrokerUnavailable: an earlier value was not delivered.
        """
        while not self._accepted(topic, value, key, headers, partition):
            self._producer.poll(_POLL_SECONDS)
            self._raise_first_error()
        self._sent += 1
        if self._sent % _POLL_EVERY == 0:
            self._producer.poll(0)
            self._raise_first_error()

    def flush(self, timeout: timedelta = timedelta(seconds=60)) -> None:
        """Wait until every value is confirmed.

        Raises:
            BrokerUnavailable: some were not, within the time given.
        """
        waiting = self._producer.flush(timeout.total_seconds())
        self._raise_first_error()
        if waiting:
            raise BrokerUnavailable(
                f"producer: {waiting} values not confirmed within {timeout}: is the broker there"
            )

    def _accepted(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Sequence[Header],
        partition: int | None,
    ) -> bool:
        try:
            self._producer.produce(
                topic,
                value,
                key,
                -1 if partition is None else partition,
                on_delivery=self._on_delivery,
                headers=list(headers),
            )
        except BufferError:
            return False
        except KafkaException as error:
            raise BrokerUnavailable(
                f"{topic}: {error.args[0].str()}: value not accepted"
            ) from error
        return True

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        self._undelivered += 1
        if self._first_error is None:
            self._first_error, self._first_topic = error, message.topic()

    def _raise_first_error(self) -> None:
        error, self._first_error = self._first_error, None
        if error is None:
            return
        undelivered, self._undelivered = self._undelivered, 0
        raise BrokerUnavailable(
            f"{self._first_topic}: {undelivered} values not delivered"
            f" ({error.str()}): see whether the broker answers and has this topic"
        )
