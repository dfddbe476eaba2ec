"""The producer of a replay: records as they were, their order kept, every failure counted."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from pipeline.adapters.kafka_feed import Recorded
from pipeline.adapters.kafka_refusals import Complaints, metadata_of, refusal
from pipeline.core.errors import BrokerUnavailable, ConfigError, MasswatchError
from pipeline.core.model import Position
from topics.catalogue import ALERT_MAX_BYTES, MEBIBYTE

BATCH_BYTES: Final = 1_000_000
"""How much goes to the broker at once, at most; a single record may be larger."""

_Whence = tuple[str, int, int, int]
_DEFAULTS: Final = {
    "acks": "all",
    "compression.type": "zstd",
    "enable.idempotence": "true",
    "linger.ms": "20",
    "log_level": "0",  # what matters comes back as an error
    # As the largest topic takes; whether a topic takes a value is for its broker to say.
    "message.max.bytes": str(ALERT_MAX_BYTES + MEBIBYTE),
    "message.timeout.ms": "30000",
    # Where a key goes is where producers of Java and Kafka Connect have it go.
    "partitioner": "murmur2_random",
    "queue.buffering.max.kbytes": str(64 * 1024),
}
_POLL_SECONDS: Final = 0.1
_POLL_EVERY: Final = 256
_WRONG_FOR_EVER: Final = {
    KafkaError.MSG_SIZE_TOO_LARGE: "raise the topic's max.message.bytes",
    KafkaError.INVALID_TIMESTAMP: "shift the record times, or widen the topic's "
    "message.timestamp.before.max.ms and message.timestamp.after.max.ms",
    KafkaError.INVALID_RECORD: "a compacted topic wants a key of every record",
}


@dataclass(slots=True)
class Failures:
    """Values that did not arrive in one topic for one reason.

    `first` is where the first of them lies, `earliest_ms` the earliest of their record times.
    """

    topic: str
    error: KafkaError
    first: Position
    earliest_ms: int
    values: int = 0

    def count(self, time_ms: int) -> None:
        """Count one more."""
        self.values += 1
        self.earliest_ms = min(self.earliest_ms, time_ms)

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if refusal(self.topic, self.error, "Write") is not None:
            return "Write is not allowed to this user: extend its ACLs (README, Least privileges)"
        return _WRONG_FOR_EVER.get(self.error.code(), "see whether the broker answers")

    def __str__(self) -> str:
        return (
            f"{self.topic}: {self.values} values not delivered, the first from {self.first} "
            f"({self.error.str()}): {self.remedy}"
        )


class ReplayProducer:
    """Sends records one after another; at most 64 MB of them wait for the broker.

    Args:
        client: librdkafka's settings, `bootstrap.servers` among them; they win over ours.
        batch_bytes: Not more than any of the topics takes at once. A larger batch is refused
            whole, however small its records are.
    """

    def __init__(self, client: Mapping[str, str], batch_bytes: int = BATCH_BYTES) -> None:
        size = str(min(batch_bytes, BATCH_BYTES))
        self._producer = Producer({**_DEFAULTS, "batch.size": size, **client})
        self._sent = 0
        self._fatal: KafkaError | None = None
        self._failures: dict[tuple[str, int], Failures] = {}
        self.confirmed: Counter[str] = Counter()
        """How many values of each topic have arrived."""

    @property
    def failures(self) -> tuple[Failures, ...]:
        """What has not arrived, by topic and reason."""
        return tuple(self._failures.values())

    def send(
        self, record: Recorded, topic: str, partition: int | None = None, time_ms: int = 0
    ) -> None:
        """Hand a record over; wait while there is no room, unless something did not arrive.

        Args:
            record: Its value, key and headers.
            topic: Where to.
            partition: None: by the key; without one, any.
            time_ms: Its record time; 0: now.
        """
        while not self._accepted(record, topic, partition, time_ms):
            self.wait(_POLL_SECONDS)
            if self._failures:
                return
        self._sent += 1
        if self._sent % _POLL_EVERY == 0:
            self.wait(0)

    def wait(self, seconds: float) -> None:
        """Let time pass, and hear what has arrived."""
        try:
            self._producer.poll(seconds)
        except KafkaException as fatal:  # raised here once, whatever the call
            self._fatal = fatal.args[0]

    def finish(self) -> None:
        """Wait until of every value it is known whether it arrived."""
        while len(self._producer):
            self.wait(_POLL_SECONDS)  # each of them arrives, or fails by its time-out

    def raise_failures(self) -> None:
        """Raise if something did not arrive.

        Raises:
            ConfigError: the topic will never take it.
            BrokerUnavailable: the broker did not confirm it.
        """
        if not self._failures:
            return
        text = "\n".join(str(one) for one in self.failures)
        never = all(one.error.code() in _WRONG_FOR_EVER for one in self.failures)
        raise ConfigError(text) if never else BrokerUnavailable(text)

    def _accepted(self, record: Recorded, topic: str, partition: int | None, time_ms: int) -> bool:
        whence = record.topic, record.partition, record.offset, record.time_ms
        try:
            self._producer.produce(
                topic,
                record.value,
                record.key,
                -1 if partition is None else partition,
                on_delivery=partial(self._on_delivery, topic, whence),
                timestamp=time_ms,
                headers=list(record.headers),
            )
        except BufferError:
            return False
        except KafkaException as error:
            self._fail(error.args[0], topic, whence)
        return True

    def _on_delivery(
        self, topic: str, whence: _Whence, error: KafkaError | None, _: Message
    ) -> None:
        if error is None:
            self.confirmed[topic] += 1
        else:
            self._fail(error, topic, whence)

    def _fail(self, error: KafkaError, topic: str, whence: _Whence) -> None:
        source, partition, offset, time_ms = whence
        # After a fatal error the reports only say that values were thrown away.
        error = self._fatal or error
        kind = topic, error.code()
        if kind not in self._failures:
            self._failures[kind] = Failures(
                topic, error, Position(source, partition, offset), time_ms
            )
        self._failures[kind].count(time_ms)


def cluster_id(client: Mapping[str, str], within: float = 15.0) -> str:
    """Return who a cluster is, whatever its address.

    Raises:
        BrokerRefuses: we are not let in.
        BrokerUnavailable: no broker answers in time.
        MasswatchError: it does not say.
    """
    servers = client.get("bootstrap.servers", "kafka")
    heard = Complaints()
    quiet = {"log_level": "0", "reconnect.backoff.max.ms": "250"}
    told: dict[str, Any] = {**quiet, **client, "error_cb": heard}
    admin = AdminClient(told)
    try:
        found = metadata_of(admin, heard, servers, within=within).cluster_id
    except KafkaException as error:
        raise BrokerUnavailable(
            f"{servers}: {heard.reason(error.args[0])}: is the broker there"
        ) from error
    if not found:
        raise MasswatchError(
            f"{servers}: gives no cluster id, so it could be the source itself: "
            "use brokers of version 0.10.1 or later"
        )
    return found
