"""The alerts of one Kafka partition, in the hands of one fenced transactional writer."""

import asyncio
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from pipeline.adapters.alert_codec import Encoded, decode, encode
from pipeline.adapters.kafka_leaders import from_the_leader
from pipeline.adapters.kafka_refusals import NEVER_JOINED, refusal
from pipeline.core.errors import BrokerRefuses, BrokerUnavailable, ConfigError, LostOwnership
from pipeline.ports import Published, Revision
from topics.catalogue import ALERT_MAX_BYTES, ALERTS

TRANSACTION_SECONDS: Final = 10
# Longer than a transaction may stay open, whoever has died in it.
_COMMIT_SECONDS: Final = 12.0
_LOOKS_EVERY: Final = 0.003
_SLICE_SECONDS: Final = 0.02
_FACTS_A_TURN: Final = 100
_PRODUCER: Final = {
    "acks": "all",
    "enable.idempotence": "true",
    "linger.ms": "1",
    "compression.type": "zstd",  # as the topic, so that brokers need not compress again
    "message.max.bytes": str(ALERT_MAX_BYTES),
    "transaction.timeout.ms": str(TRANSACTION_SECONDS * 1000),
    "log_level": "0",  # what matters comes back as an error
}
_CONSUMER: Final = {
    "group.id": "masswatch-alerts-never-committed",
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "error",  # the default would take a lost offset for an empty topic
    "isolation.level": "read_committed",
    "enable.partition.eof": "true",
    "fetch.wait.max.ms": "10",
    "log_level": "0",
}

_TIMED_OUT: Final = KafkaError._TIMED_OUT  # noqa: SLF001 - librdkafka's name of a local error
_TOO_LARGE: Final = KafkaError.MSG_SIZE_TOO_LARGE
_PARTITION_EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the same

_log = structlog.get_logger()


class KafkaAlerts:
    """One take-over of one alerts partition: opened once, of no use after the first error.

    Opening fences every earlier owner, wherever it is, and decides what it has left undecided; only
    then what was published is read.
    """

    def __init__(
        self,
        partition: TopicPartition,
        producer: Producer,
        consumer: Consumer,
        memory: "_Memory",
        executor: ThreadPoolExecutor,
    ) -> None:
        """For `open` alone."""
        self._partition = partition
        self._name = _name(partition)
        self._producer: Producer | None = producer
        self._consumer = consumer
        self._memory = memory
        self._executor = executor

    @classmethod
    async def open(
        cls,
        partition: int,
        *,
        client: Mapping[str, str],
        application: str,
        topic: str = ALERTS,
        within: float = 30.0,
    ) -> Self:
        """Take a partition over.

        Args:
            partition: Of the alerts topic, and of the evaluations topic whose owner we are.
            client: librdkafka's settings, `bootstrap.servers` among them.
            application: With the partition, the transactional id: the same for all workers that
                share the topic.
            topic: The alerts topic.
            within: Seconds that fencing, deciding and reading may take, each.

        Raises:
            BrokerRefuses: our user may not write or read there.
            BrokerUnavailable: the partition could not be fenced or read; try again.
        """
        ours = TopicPartition(topic, partition)
        executor = ThreadPoolExecutor(1, thread_name_prefix=f"alerts-{partition}")
        try:
            producer, consumer, memory = await asyncio.get_running_loop().run_in_executor(
                executor, _open, client, f"{application}-{partition}", ours, within
            )
        except KafkaException as error:
            executor.shutdown(wait=False)
            if refused := _refusal(error.args[0], f"{application}-{partition}", topic):
                raise refused from error
            raise BrokerUnavailable(
                f"{_name(ours)}: not taken over: {error.args[0].str()}: see whether it is up"
            ) from error
        except BaseException:
            executor.shutdown(wait=False)
            raise
        _log.info("alerts.opened", partition=_name(ours), alerts=len(memory))
        return cls(ours, producer, consumer, memory, executor)

    def last(self, alert_id: str) -> Published | None:
        """Return the last revision of an alert, of whichever writer, or None."""
        return self._memory.last(alert_id)

    async def publish(self, revisions: Sequence[Revision]) -> None:
        """Publish all of the revisions or none, in one transaction; see `AlertLog`."""
        loop = asyncio.get_running_loop()
        encoded = await _encoded(revisions)
        producer = self._producer
        if producer is None:
            raise LostOwnership(f"{self._name}: already lost or closed: take it over again")
        # Whatever interrupts us, the outcome is unknown; only a commit gives the producer back.
        self._producer = None
        transaction = loop.run_in_executor(self._executor, self._transact, producer, encoded)
        try:
            await transaction
        except (KafkaException, BufferError) as error:
            self._drop(producer)
            is_kafkas = isinstance(error, KafkaException)
            if is_kafkas and error.args[0].code() == _TOO_LARGE:
                raise ConfigError(
                    f"{self._name}: an alert does not fit: raise the topic's max.message.bytes to "
                    f"{ALERT_MAX_BYTES} (masswatch topics apply)"
                ) from error
            refused = refusal(self._name, error.args[0], "Write") if is_kafkas else None
            raise LostOwnership(
                str(refused or f"{self._name}: {error}: take it over again")
            ) from error
        except BaseException:
            self._drop(producer)
            raise
        self._producer = producer
        for one in encoded:
            self._memory.keep(one.key, one.value)

    def close(self) -> None:
        """Give the partition up; a transaction that is still open is aborted by the next owner."""
        producer, self._producer = self._producer, None
        if producer is not None:
            self._drop(producer)

    def _transact(self, producer: Producer, encoded: Sequence[Encoded]) -> None:
        written, last = _Written(), encoded[-1]
        producer.begin_transaction()
        for one in encoded:
            producer.produce(
                self._partition.topic,
                one.value,
                one.key,
                self._partition.partition,
                headers=list(one.headers),
                on_delivery=written if one is last else None,
            )
        producer.commit_transaction(_COMMIT_SECONDS)
        # A commit that was confirmed may never be seen, see `_barrier`.
        _stable_end(self._consumer, self._partition, written.end, _COMMIT_SECONDS)

    def _drop(self, producer: Producer) -> None:
        """Let the executor's thread end the clients, as that may wait for the broker."""
        self._executor.submit(producer.purge)
        self._executor.submit(self._consumer.close)
        self._executor.shutdown(wait=False)


class _Written:
    """Hears where a record came to lie; `end` is the offset behind it."""

    def __init__(self) -> None:
        self.end = 0

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.end = (message.offset() or 0) + 1


def _refusal(error: KafkaError, transactional_id: str, topic: str) -> BrokerRefuses | None:
    if error.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return refusal(f"transactional id {transactional_id}", error, "Write")
    return refusal(f"topic {topic}", error, "Read")


async def _encoded(revisions: Sequence[Revision]) -> list[Encoded]:
    """Write revisions; of much evidence it takes long, so others get a turn of the loop.

    In a thread it would take longer, as that and the loop would take turns at the interpreter.
    """
    encoded: list[Encoded] = []
    facts = 0
    for revision in revisions:
        facts += len(revision.sources)
        if facts > _FACTS_A_TURN:
            await asyncio.sleep(0)
            facts = 0
        encoded.append(encode(revision))
    return encoded


class _Memory:
    """What was published last, by alert id; large alerts are kept compressed.

    Alerts are only taken apart when asked for: a take-over reads many and evaluates few.
    """

    _LARGE: Final = 4096

    def __init__(self) -> None:
        self._alerts: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._alerts)

    def keep(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._alerts.pop(key, None)
        else:
            self._alerts[key] = zlib.compress(value, 1) if len(value) > self._LARGE else value

    def last(self, alert_id: str) -> Published | None:
        kept = self._alerts.get(alert_id.encode())
        if kept is None:
            return None
        _, published = decode(kept if kept.startswith(b"{") else zlib.decompress(kept))
        return published


def _open(
    client: Mapping[str, str], transactional_id: str, partition: TopicPartition, within: float
) -> tuple[Producer, Consumer, _Memory]:
    producer = Producer({**client, **_PRODUCER, "transactional.id": transactional_id})
    producer.init_transactions(within)
    try:
        barrier = _barrier(producer, partition, within)
    except KafkaException as error:
        if refused := refusal(f"topic {partition.topic}", error.args[0], "Write"):
            raise refused from error
        raise
    memory = _Memory()
    consumer = Consumer({**client, **_CONSUMER})
    try:
        end = _stable_end(consumer, partition, barrier, within)
        for message in _committed(consumer, partition, end, within):
            memory.keep(message.key() or b"", message.value())
    except BaseException:
        consumer.close()
        raise
    return producer, consumer, memory


def _barrier(producer: Producer, partition: TopicPartition, within: float) -> int:
    """Decide every transaction of earlier owners, and return the offset before which all is.

    Kafka may confirm a commit without ever writing its marker: where the partition has no leader at
    that moment, as when its only broker shuts down, the coordinator takes it for deleted
    (KAFKA-20734, 4.3 and 4.4). To the coordinator the transaction has ended then, to the partition
    it is open, and the next marker of the same producer decides it. With a commit of ours it would
    appear behind our back, after we have published its revisions again. So the first marker of
    every owner is an abort: nobody has seen what it takes away, and whoever takes a partition over
    asks for all its evaluations again.
    """
    written = _Written()
    producer.begin_transaction()
    # Nobody sees it; it has a key because compacted topics want one.
    producer.produce(partition.topic, None, b"", partition.partition, on_delivery=written)
    producer.flush(within)
    if not written.end:
        producer.commit_transaction(within)  # there is nothing to commit: it raises the reason
    producer.abort_transaction(within)
    return written.end


def _stable_end(consumer: Consumer, partition: TopicPartition, at_least: int, within: float) -> int:
    """Wait until all before an offset is decided, and return up to where it is.

    Markers are written just after a commit or an abort was confirmed.
    """
    deadline = time.monotonic() + within
    while True:
        _, end = from_the_leader(
            lambda: consumer.get_watermark_offsets(partition, within, cached=False),
            consumer,
            partition.topic,
            within=within,
        )
        if end >= at_least:
            return end
        if time.monotonic() > deadline:
            raise KafkaException(
                KafkaError(
                    _TIMED_OUT, f"a transaction of a lost or another owner is open at @{end}"
                )
            )
        time.sleep(_LOOKS_EVERY)


def _committed(
    consumer: Consumer, partition: TopicPartition, end: int, within: float
) -> Iterator[Message]:
    """Yield what is committed before an end, from the first offset on."""
    deadline = time.monotonic() + within
    consumer.assign([TopicPartition(partition.topic, partition.partition, OFFSET_BEGINNING)])
    at = 0
    while at < end:
        if time.monotonic() > deadline:
            raise KafkaException(KafkaError(_TIMED_OUT, f"read back to {at} of {end}"))
        for message in consumer.consume(1000, _SLICE_SECONDS):
            error, offset = message.error(), message.offset() or 0
            if error is None:
                yield message
                at = offset + 1
            elif error.code() == _PARTITION_EOF:
                at = offset
            elif error.code() != NEVER_JOINED:
                raise KafkaException(error)
    consumer.unassign()


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"
