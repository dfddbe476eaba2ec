"""Reads the alerts topic as a consumer downstream does: committed records only, without a group."""

from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Self

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from pipeline.adapters.kafka_leaders import from_the_leader
from pipeline.adapters.kafka_refusals import NEVER_JOINED, Complaints, metadata_of, refusal
from pipeline.core.errors import BrokerUnavailable, MasswatchError
from topics.alert import Alert
from topics.catalogue import ALERTS

_TIMEOUT = 10.0


class AlertReader:
    """Every revision on the alerts topic, in the order of each partition, from the beginning."""

    def __init__(self, client: Mapping[str, str], topic: str = ALERTS) -> None:
        heard = Complaints()
        self._consumer = Consumer(
            {
                "log_level": "0",  # what matters comes back as an error
                **client,
                "error_cb": heard,
                "group.id": "masswatch-alert-reader",  # librdkafka wants one; it is never joined
                "enable.auto.commit": "false",
                "isolation.level": "read_committed",
                "enable.partition.eof": "true",
                "fetch.wait.max.ms": "50",
            }
        )
        where = client.get("bootstrap.servers", "kafka")
        try:
            told = metadata_of(self._consumer, heard, where, within=_TIMEOUT, topic=topic)
        except KafkaException as error:
            raise BrokerUnavailable(
                f"{topic}: {heard.reason(error.args[0])}: is the broker there"
            ) from error
        found = told.topics[topic]
        if found.error is not None and (
            refused := refusal(f"topic {topic}", found.error, "Describe")
        ):
            raise refused
        partitions = found.partitions
        self._partitions = [TopicPartition(topic, one, OFFSET_BEGINNING) for one in partitions]
        self._seen_to: dict[int, int] = {}
        self._consumer.assign(self._partitions)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._consumer.close()

    def poll(self, within: timedelta) -> list[Alert]:
        """Return the next revisions; none when nothing comes within the time.

        Raises:
            BrokerUnavailable: the broker says so.
            MasswatchError: a value is no alert.
        """
        values = (
            self._value_of(one) for one in self._consumer.consume(500, within.total_seconds())
        )
        return [_alert_of(value) for value in values if value is not None]

    def to_the_end(self) -> list[Alert]:
        """Return all that is on the topic now and was not returned yet.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        ends = {one.partition: self._end_of(one) for one in self._partitions}
        found: list[Alert] = []
        while any(self._seen_to.get(partition, 0) < end for partition, end in ends.items()):
            found += self.poll(timedelta(seconds=0.1))
        return found

    def _end_of(self, partition: TopicPartition) -> int:
        try:
            _, end = from_the_leader(
                lambda: self._consumer.get_watermark_offsets(partition, timeout=_TIMEOUT),
                self._consumer,
                partition.topic,
                within=_TIMEOUT,
            )
        except KafkaException as error:
            raise BrokerUnavailable(
                f"{partition.topic}[{partition.partition}]: {error.args[0].str()}: "
                "is the broker there"
            ) from error
        return end

    def _value_of(self, message: Message) -> bytes | None:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is not None:
            if error.code() == NEVER_JOINED:
                return None
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  # librdkafka's own code
                if (refused := refusal(f"topic {message.topic()}", error, "Read")) is not None:
                    raise refused
                raise BrokerUnavailable(f"alerts: {error.str()}: is the broker there")
            if partition is not None and offset is not None:
                self._seen_to[partition] = offset
            return None
        value = message.value()
        return value.encode() if isinstance(value, str) else value


def _alert_of(value: bytes) -> Alert:
    """Read an alert, passing over what a later version may have added."""
    try:
        return Alert.model_validate_json(value, extra="ignore")
    except ValueError as error:
        beginning = value[:60].decode(errors="replace")
        raise MasswatchError(
            f"{ALERTS}: no alert: {beginning!r}: find out who else writes to this topic"
        ) from error
