"""Reads the alerts topic as a consumer downstream does: committed records only, without a group."""

import time
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

from pipeline.core.errors import BrokerUnavailable, MasswatchError
from topics.alert import Alert
from topics.catalogue import ALERTS

_TIMEOUT = 10.0


class AlertReader:
    """Every revision on the alerts topic, in the order of each partition, from the beginning."""

    def __init__(self, client: Mapping[str, str], topic: str = ALERTS) -> None:
        self._consumer = Consumer(
            {
                **client,
                "group.id": "masswatch-alert-reader",  # librdkafka wants one; it is never joined
                "enable.auto.commit": "false",
                "isolation.level": "read_committed",
                "enable.partition.eof": "true",
                "fetch.wait.max.ms": "50",
            }
        )
        try:
            partitions = (
                self._consumer.list_topics(topic, timeout=_TIMEOUT).topics[topic].partitions
            )
        except KafkaException as error:
            raise BrokerUnavailable(
                f"{topic}: {error.args[0].str()}: is the broker there"
            ) from error
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
        deadline = time.monotonic() + _TIMEOUT
        while True:
            try:
                end: int = self._consumer.get_watermark_offsets(partition, timeout=_TIMEOUT)[1]
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise BrokerUnavailable(
                        f"{partition.topic}[{partition.partition}]: {error.args[0].str()}: "
                        "is the broker there"
                    ) from error
                self._consumer.list_topics(partition.topic, timeout=_TIMEOUT)  # a new leader
            else:
                return end

    def _value_of(self, message: Message) -> bytes | None:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  # librdkafka's own code
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
