"""Topics of a benchmark, filled before anybody may read them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, Protocol

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from pipeline.adapters.kafka_admin import apply
from topics.catalogue import Sources, catalogue

from .records import PARTITIONS

_SECONDS: Final = 120.0
_PRODUCER: Final = {
    "acks": "all",
    "batch.size": str(256 * 1024),
    "linger.ms": "50",
    "log_level": "0",  # what matters comes back as an error
    "queue.buffering.max.kbytes": str(128 * 1024),
    "transaction.timeout.ms": "600000",
}


def sources_of(audit: str) -> Sources:
    """Return the sources of a worker that reads audit events from that topic."""
    return Sources(audit=(audit,))


def create(client: Mapping[str, str], audit: str, partitions: int = PARTITIONS) -> None:
    """Create every topic of a worker; the audit events get so many partitions."""
    topics = [
        replace(topic, partitions=partitions) if topic.name == audit else topic
        for topic in catalogue(sources_of(audit))
    ]
    apply(topics, client)


def delete(client: Mapping[str, str], audit: str) -> None:
    """Delete a topic of audit events."""
    admin = AdminClient(dict(client))
    for deleted in admin.delete_topics([audit]).values():
        deleted.result(_SECONDS)


class Stream(Protocol):
    """What is to be written."""

    def stream(self) -> Iterator[tuple[int, bytes]]:
        """Yield the values with their partitions."""
        ...


class HeldBack:
    """Records on a topic that readers see at once and not before they are released.

    They lie in an open transaction until then, and every reader here reads committed records
    only. So a reader can start up, join its group and come to rest before it is measured.
    """

    def __init__(self, client: Mapping[str, str], topic: str, load: Stream, codec: str) -> None:
        self._producer = Producer(
            {**client, **_PRODUCER, "compression.type": codec, "transactional.id": topic}
        )
        self._producer.init_transactions(_SECONDS)
        self._producer.begin_transaction()
        for partition, value in load.stream():
            self._produce(topic, partition, value)
        self._producer.flush(_SECONDS)

    def release(self) -> None:
        """Let the readers see all of the records."""
        self._producer.commit_transaction(_SECONDS)

    def _produce(self, topic: str, partition: int, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, value, partition=partition)
            except BufferError:
                self._producer.poll(0.05)
            else:
                return
