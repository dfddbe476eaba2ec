"""Which topics a Kafka cluster has."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from pipeline.adapters.kafka_refusals import Complaints, metadata_of, refusal
from pipeline.core.errors import BrokerRefuses, BrokerUnavailable


def partition_counts(
    client: Mapping[str, str],
    needed: Iterable[str] = (),
    *,
    within: timedelta = timedelta(seconds=15),
) -> dict[str, int]:
    """Return the number of partitions of every topic that is there; blocks.

    Args:
        client: librdkafka's settings, `bootstrap.servers` among them.
        needed: Topics that must not be taken for missing only because they are hidden from us.
        within: How long to wait for an answer.

    Raises:
        BrokerRefuses: we are not let in, or needed topics are hidden from us.
        BrokerUnavailable: no broker answers in time.
    """
    heard = Complaints()
    quiet = {"log_level": "0", "reconnect.backoff.max.ms": "250"}
    told: dict[str, Any] = {**quiet, **client, "error_cb": heard}
    admin = AdminClient(told)
    servers = client.get("bootstrap.servers", "kafka")
    try:
        metadata = metadata_of(admin, heard, servers, within=within.total_seconds())
        found = {
            name: len(topic.partitions)
            for name, topic in metadata.topics.items()
            if topic.error is None
        }
        hidden = _hidden(admin, [name for name in needed if name not in found], within)
    except KafkaException as error:
        raise BrokerUnavailable(
            f"{servers}: {heard.reason(error.args[0])}: start the broker (masswatch dev up starts "
            "a local one), or set MASSWATCH_KAFKA__BOOTSTRAP_SERVERS to where it is"
        ) from error
    if hidden:
        raise BrokerRefuses("\n".join(hidden))
    return found


def _hidden(admin: AdminClient, missing: Sequence[str], within: timedelta) -> list[str]:
    """Say which topics may well be there: brokers list only what we may describe."""
    if not missing:
        return []
    asked = admin.describe_topics(
        TopicCollection(list(missing)), request_timeout=within.total_seconds()
    )
    faults = []
    for name, answer in asked.items():
        try:
            answer.result()
        except KafkaException as error:
            if (refused := refusal(f"topic {name}", error.args[0], "Describe")) is not None:
                faults.append(str(refused))
    return faults
