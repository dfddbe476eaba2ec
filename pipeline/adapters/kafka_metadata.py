"""Which topics a Kafka cluster has."""

from collections.abc import Mapping
from datetime import timedelta

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.core.errors import BrokerUnavailable


def partition_counts(
    client: Mapping[str, str], *, within: timedelta = timedelta(seconds=15)
) -> dict[str, int]:
    """Return the number of partitions of every topic; blocks.

    Raises:
        BrokerUnavailable: no broker answers in time.
    """
    admin = AdminClient({"log_level": "0", "reconnect.backoff.max.ms": "250", **client})
    try:
        metadata = admin.list_topics(timeout=within.total_seconds())
    except KafkaException as error:
        servers = client.get("bootstrap.servers", "kafka")
        raise BrokerUnavailable(
            f"{servers}: {error.args[0].str()}: start the broker (masswatch dev up starts a local "
            "one), or set MASSWATCH_KAFKA__BOOTSTRAP_SERVERS to where it is"
        ) from error
    return {
        name: len(topic.partitions)
        for name, topic in metadata.topics.items()
        if topic.error is None
    }
