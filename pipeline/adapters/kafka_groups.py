"""How far consumer groups have come."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AdminClient,
    OffsetSpec,
)

from pipeline.adapters.kafka_group_look import committed_by, member
from pipeline.adapters.kafka_metadata import partition_counts
from pipeline.adapters.kafka_refusals import Complaints, metadata_of
from pipeline.adapters.kafka_slice import unavailable
from pipeline.adapters.kafka_standing import Place
from pipeline.core.errors import ConfigError

_WITHIN: Final = timedelta(seconds=10)
_ENDS: Final = (
    OffsetSpec.earliest(),  # type: ignore[no-untyped-call]
    OffsetSpec.latest(),  # type: ignore[no-untyped-call]
)


class Groups:
    """Asks how far consumer groups have come, and joins none.

    Commits are asked for by a consumer of each group: the admin client's own question ends the
    process when it is not answered in time (librdkafka issue 4605).

    Args:
        client: librdkafka's settings, `bootstrap.servers` among them.
        within: How long a broker may take for an answer.
    """

    def __init__(self, client: Mapping[str, str], within: timedelta = _WITHIN) -> None:
        self._client = client
        self._within = within
        self._seconds = within.total_seconds()
        self._heard = Complaints()
        told: dict[str, Any] = {"log_level": "0", **client, "error_cb": self._heard}
        self._admin = AdminClient(told)
        self._members: dict[str, Consumer] = {}

    def close(self) -> None:
        """Close the connections."""
        for one in self._members.values():
            one.close()

    def lag(self, group: str, topics: Iterable[str]) -> int:
        """Count the offsets that a group has not committed yet, over all partitions of topics.

        A partition without a commit lags by all that it holds. Counted to the last stable offset.

        Raises:
            ConfigError: topics do not exist.
            BrokerRefuses: we are not let in, or may not know of the group or of a topic.
            BrokerUnavailable: no broker answers in time.
        """
        try:
            places = self._places(topics)
            committed = committed_by(self._member(group), places, self._seconds)
            first, last = (self._offsets(places, spec) for spec in _ENDS)
        except KafkaException as error:
            raise unavailable(f"group {group}", error, "Describe") from error
        return sum(last[of] - committed.get(of, first[of]) for of in last)

    def _member(self, group: str) -> Consumer:
        if group not in self._members:
            self._members[group] = member(self._client, group)
        return self._members[group]

    def _offsets(self, places: Sequence[Place], spec: OffsetSpec) -> dict[Place, int]:
        answers = self._admin.list_offsets(
            {TopicPartition(*place): spec for place in places},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=self._seconds,
        )
        return {
            Place(of.topic, of.partition): answer.result().offset for of, answer in answers.items()
        }

    def _places(self, topics: Iterable[str]) -> list[Place]:
        where = self._client.get("bootstrap.servers", "kafka")
        known = metadata_of(self._admin, self._heard, where, within=self._seconds).topics
        places: list[Place] = []
        missing: list[str] = []
        for name in topics:
            if name not in known:
                missing.append(name)
                continue
            if (fault := known[name].error) is not None:
                raise KafkaException(fault)
            places += [Place(name, partition) for partition in known[name].partitions]
        if missing:
            # Hidden from us, they may well be there.
            partition_counts(self._client, missing, within=self._within)
            raise ConfigError(
                "\n".join(
                    f"topic {one}: there is none on the cluster: run masswatch topics apply"
                    for one in missing
                )
            )
        return places
