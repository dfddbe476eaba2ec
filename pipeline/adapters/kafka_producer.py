"""A producer of Kafka records that waits for room, and says at the end what did not arrive."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline.adapters.kafka_refusals import Complaints, refusal
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
_LOOKS_EVERY: Final = 1.0
_POLL_EVERY: Final = 256


class KafkaProducer:
    """Sends values to topics and keeps the order within a partition.

    At most 64 MB wait for the broker; `send` then waits for room. A delivery that was not
    confirmed is raised by the next `send` or by `flush`, never lost.

    Args:
        settings: librdkafka's settings, `bootstrap.servers` among them; they win over ours.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._heard = Complaints()
        self._where = settings.get("bootstrap.servers", "kafka")
        self._producer = Producer({**_DEFAULTS, **settings, "error_cb": self._heard})
        self._fatal: KafkaError | None = None
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
            self._flushed()

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
            self._poll(_POLL_SECONDS)
            self._raise_first_error()
        self._sent += 1
        if self._sent % _POLL_EVERY == 0:
            self._poll(0)
            self._raise_first_error()

    def flush(self, timeout: timedelta = timedelta(seconds=60)) -> None:
        """Wait until every value is confirmed.

        Raises:
            BrokerRefuses: we are not let in, or may not write there.
            BrokerUnavailable: some were not, within the time given.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        while waiting := self._flushed():
            self._raise_first_error()
            if time.monotonic() > deadline:
                break
        self._raise_first_error()
        if waiting:
            raise BrokerUnavailable(
                f"producer: {waiting} values not confirmed within {timeout}: is the broker there"
            )

    def _poll(self, seconds: float) -> None:
        try:
            self._producer.poll(seconds)
        except KafkaException as fatal:  # raised here once, whatever the call
            self._fatal = fatal.args[0]

    def _flushed(self) -> int:
        try:
            return self._producer.flush(_LOOKS_EVERY)
        except KafkaException as fatal:  # the same
            self._fatal = fatal.args[0]
            return len(self._producer)

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
            reason = self._fatal or error.args[0]
            if (refused := refusal(f"topic {topic}", reason, "Write")) is not None:
                raise refused from error
            raise BrokerUnavailable(f"{topic}: {reason.str()}: value not accepted") from error
        return True

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        self._undelivered += 1
        if self._first_error is None:
            # After a fatal error the reports only say that values were thrown away.
            self._first_error, self._first_topic = self._fatal or error, message.topic()

    def _raise_first_error(self) -> None:
        self._heard.raise_refusal(self._where)
        error, self._first_error = self._first_error, None
        if error is None:
            return
        undelivered, self._undelivered = self._undelivered, 0
        if (refused := refusal(f"topic {self._first_topic}", error, "Write")) is not None:
            raise refused
        raise BrokerUnavailable(
            f"{self._first_topic}: {undelivered} values not delivered"
            f" ({error.str()}): see whether the broker answers and has this topic"
        )
