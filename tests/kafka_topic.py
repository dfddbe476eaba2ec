"""Topics of a test's own, with records of chosen times, and all that came to lie in a topic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

NOON = 1_770_000_000_000
"""A record time, in milliseconds."""


class Put(NamedTuple):
    """A record as a test writes it."""

    value: bytes | None
    at: int = NOON
    partition: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(frozen=True)
class KafkaTopic:
    """A topic that keeps the times which its producer gives, unless its settings say otherwise."""

    name: str
    client: Mapping[str, str]

    def create(self, partitions: int = 1, **config: str) -> "KafkaTopic":
        """Make it; `config` are Kafka's settings, with _ for the dots."""
        settings = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
        settings |= {name.replace("_", "."): value for name, value in config.items()}
        new = NewTopic(self.name, partitions, 1, config=settings)
        admin = admin_of(self.client)
        for future in admin.create_topics([new]).values():
            future.result(10)
        while len(admin.list_topics(self.name, 10).topics[self.name].partitions) < partitions:
            pass  # the controller has answered, the broker does not know of it yet
        return self

    def put(self, *records: Put) -> "KafkaTopic":
        """Append records, each partition's in their order, in one batch if they fit."""
        producer = Producer({**self.client, "linger.ms": "20", "message.max.bytes": "3000000"})
        produce(producer, self.name, records)
        assert producer.flush(30) == 0
        return self

    def delete_before(self, offset: int, partition: int = 0) -> None:
        """Move the beginning of a partition."""
        place = TopicPartition(self.name, partition, offset)
        admin = admin_of(self.client)
        for future in admin.delete_records([place]).values():
            future.result(10)

    def messages(self) -> list[Message]:
        """Return every committed record, partition after partition."""
        consumer = Consumer(
            {
                **self.client,
                "group.id": "test",
                "enable.partition.eof": "true",
                "enable.auto.commit": "false",
                "fetch.wait.max.ms": "20",
            }
        )
        found: list[Message] = []
        for partition in sorted(consumer.list_topics(self.name, 10).topics[self.name].partitions):
            low, _ = consumer.get_watermark_offsets(TopicPartition(self.name, partition), 10)
            consumer.assign([TopicPartition(self.name, partition, low)])
            while (message := consumer.poll(10)) is not None and message.error() is None:
                found.append(message)
            assert message is not None
            error = message.error()
            assert error is not None
            assert error.code() == KafkaError._PARTITION_EOF
        consumer.close()
        return found


def admin_of(client: Mapping[str, str]) -> AdminClient:
    """Return a client for administration; its answers come only as long as it is held."""
    return AdminClient(dict(client))


def produce(producer: Producer, topic: str, records: Sequence[Put]) -> None:
    """Hand records to a producer; each must arrive."""

    def confirmed(error: KafkaError | None, _: Message) -> None:
        assert error is None, error.str()

    for one in records:
        producer.produce(
            topic,
            one.value,
            one.key,
            one.partition,
            on_delivery=confirmed,
            timestamp=one.at,
            headers=list(one.headers),
        )
