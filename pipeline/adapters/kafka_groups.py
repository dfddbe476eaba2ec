"""How far consumer groups have come."""

from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
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


class Groups:
    """Asks how far consumer groups have come, and joins none.

    Commits are asked for by a consumer of each group: the admin client's own question ends the
    process when it is not answered in time (librdkafka issue 4605).

    Args:
        client: librdkafka's settings, `bootstrap.servers` among them.
    """

    def __init__(self, client: Mapping[str, str]) -> None:
        self._client: dict[str, str | int | float | bool] = {**client}
        self._admin = AdminClient(self._client)
        self._members: dict[str, Consumer] = {}

    def close(self) -> None:
        """Close the connections."""
        for member in self._members.values():
            member.close()

    def lag(self, group: str, topics: Iterable[str]) -> int:
        """Count the offsets that a group has not committed yet, over all partitions of topics.

        A partition without a commit lags by all that it holds. Counted to the last stable offset.

        Raises:
            BrokerUnavailable: no broker answers in time.
        """
        try:
            partitions = self._partitions(topics)
            committed = {
                (one.topic, one.partition): one.offset
                for one in self._member(group).committed(partitions, _TIMEOUT)
                if one.offset >= 0
            }
            first, last = (self._offsets(partitions, spec) for spec in _ENDS)
        except KafkaException as error:
            raise BrokerUnavailable(
                f"group {group}: {error.args[0].str()}: is the broker there"
            ) from error
        return sum(last[of] - committed.get(of, first[of]) for of in last)

    def _member(self, group: str) -> Consumer:
        if group not in self._members:
            self._members[group] = Consumer({**self._client, "group.id": group, "log_level": "0"})
        return self._members[group]

    def _offsets(
        self, partitions: Sequence[TopicPartition], spec: OffsetSpec
    ) -> dict[tuple[str, int], int]:
        answers = self._admin.list_offsets(
            dict.fromkeys(partitions, spec),
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_TIMEOUT,
        )
        return {(of.topic, of.partition): answer.result().offset for of, answer in answers.items()}

    def _partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        known = self._admin.list_topics(timeout=_TIMEOUT).topics
        return [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in known[topic].partitions
        ]
