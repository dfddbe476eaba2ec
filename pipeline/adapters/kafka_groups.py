"""How far consumer groups have come."""

from collections.abc import Iterable, Mapping

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AdminClient,
    OffsetSpec,
)

from pipeline.core.errors import BrokerUnavailable

_TIMEOUT = 10.0
_ENDS = (
    OffsetSpec.earliest(),  # type: ignore[no-untyped-call]
    OffsetSpec.latest(),  # type: ignore[no-untyped-call]
)


def lag(client: Mapping[str, str], group: str, topics: Iterable[str]) -> int:
    """Count the offsets that a group has not committed yet, over all partitions of topics.

    A partition without a commit lags by all that it holds. Counted to the last stable offset.

    Raises:
        BrokerUnavailable: no broker answers in time.
    """
    admin = AdminClient(dict(client))
    try:
        partitions = _partitions(admin, topics)
        (group_answer,) = admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=_TIMEOUT
        ).values()
        committed = {
            (one.topic, one.partition): one.offset
            for one in group_answer.result().topic_partitions or ()
            if one.offset >= 0
        }
        first, last = (
            {
                (of.topic, of.partition): answer.result().offset
                for of, answer in admin.list_offsets(
                    dict.fromkeys(partitions, spec),
                    isolation_level=IsolationLevel.READ_COMMITTED,
                    request_timeout=_TIMEOUT,
                ).items()
            }
            for spec in _ENDS
        )
    except KafkaException as error:
        raise BrokerUnavailable(
            f"group {group}: {error.args[0].str()}: is the broker there"
        ) from error
    return sum(last[of] - committed.get(of, first[of]) for of in last)


def _partitions(admin: AdminClient, topics: Iterable[str]) -> list[TopicPartition]:
    known = admin.list_topics(timeout=_TIMEOUT).topics
    return [
        TopicPartition(topic, partition)
        for topic in topics
        for partition in known[topic].partitions
    ]
