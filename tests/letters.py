"""What lies in the DLQ topics, read as an operator would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Message
from kafka_topic import KafkaTopic


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
    return [_letter(one) for topic in topics for one in KafkaTopic(topic, client).messages()]


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
