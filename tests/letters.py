"""What lies in the DLQ topics, read as an operator would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: where the record came from, and its bytes."""

    topic: str
    partition: int
    offset: int
    index: int | None
    reason: str
    value: bytes | None


def dead_letters(client: Mapping[str, str], topics: Sequence[str]) -> list[Letter]:
    """Every dead letter that is there now."""
    consumer = Consumer({**client, "group.id": "letters", "enable.partition.eof": "true"})
    try:
        places = [
            TopicPartition(topic, partition, OFFSET_BEGINNING)
            for topic in topics
            for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ]
        consumer.assign(places)
        found: list[Letter] = []
        open_ends = len(places)
        while open_ends:
            for message in consumer.consume(500, 0.1):
                error = message.error()
                if error is None:
                    found.append(_letter(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_ends -= 1
                else:
                    raise AssertionError(error)
        return found
    finally:
        consumer.close()


def _letter(message: Message) -> Letter:
    headers: dict[str, bytes] = dict(message.headers() or [])  # type: ignore[arg-type]  # bytes
    index = headers["masswatch-dlq-index"]
    value = message.value()
    return Letter(
        topic=headers["masswatch-dlq-topic"].decode(),
        partition=int(headers["masswatch-dlq-partition"]),
        offset=int(headers["masswatch-dlq-offset"]),
        index=None if index == b"null" else int(index),
        reason=headers["masswatch-dlq-reason"].decode(),
        value=value.encode() if isinstance(value, str) else value,
    )
