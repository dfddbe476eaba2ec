"""The topics of a Kafka cluster: compared with the catalogue, and made so."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from pipeline.adapters.kafka_refusals import Complaints, metadata_of, refusal
from pipeline.adapters.topic_differences import TWINS, Difference, Twins, What, differences
from pipeline.core.errors import BrokerUnavailable, MasswatchError
from topics.catalogue import Topic

BROKER_DEFAULT = -1
"""A replication factor that leaves it to the broker's `default.replication.factor`."""

WITHIN = 10.0
"""Seconds for one question to the brokers."""

# A librdkafka setting of the user's is stronger than these: its own lines on stderr would come
# on top of the error that we raise, and its back-off of 10 s is for producers.
_QUIET = {"log_level": "0", "reconnect.backoff.max.ms": "250"}
_AWAY = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - librdkafka's own codes begin with a dash
        KafkaError._RESOLVE,  # noqa: SLF001 - the same
        KafkaError._TIMED_OUT,  # noqa: SLF001 - the same
        KafkaError._TRANSPORT,  # noqa: SLF001 - the same
        KafkaError.REQUEST_TIMED_OUT,
    }
)


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` has changed, and the differences that are left for a person."""

    changed: list[Difference]
    left: list[Difference]


def answers(client: Mapping[str, str], *, within: float) -> bool:
    """Tell whether a broker gives its metadata within so many seconds, and knows of itself."""
    try:
        metadata = AdminClient({**_QUIET, **client}).list_topics(timeout=within)
    except KafkaException:
        return False
    return bool(metadata.brokers)


def compare(
    topics: Sequence[Topic],
    client: Mapping[str, str],
    *,
    twins: Twins = TWINS,
    within: float = WITHIN,
) -> list[Difference]:
    """Return in what the cluster differs from the topics, in their order.

    More partitions than asked are no difference, but for twins, which must have the same count.

    Args:
        topics: What there should be.
        client: librdkafka's settings, `bootstrap.servers` among them.
        twins: Two of the topics, whose partitions belong together.
        within: Seconds for each question to the brokers.

    Raises:
        BrokerRefuses: our user is not let in, or may not look.
        BrokerUnavailable: no answer in time.
    """
    return _Cluster(client, within).differences(topics, twins)


def apply(
    topics: Sequence[Topic],
    client: Mapping[str, str],
    *,
    replication: int = BROKER_DEFAULT,
    twins: Twins = TWINS,
    within: float = WITHIN,
) -> Applied:
    """Create what is missing, raise partition counts where harmless, set what differs.

    Returns when the cluster shows it. The twins' partition counts are never changed: requests in
    flight would go to other partitions than the alerts that they are about. Applying again
    changes nothing.

    Raises:
        BrokerUnavailable: no answer in time; applying again goes on where this ended.
        BrokerRefuses: our user is not let in, or may not do this.
        MasswatchError: a broker refused a change.
    """
    cluster = _Cluster(client, within)
    found = cluster.differences(topics, twins)
    changed = [each for each in found if each.appliable]
    by_name = {topic.name: topic for topic in topics}
    cluster.create(_missing(by_name, changed), replication)
    cluster.raise_partitions({d.topic: int(d.wanted) for d in changed if d.what is What.PARTITIONS})
    cluster.set({d.topic: by_name[d.topic].config() for d in changed if d.what is What.CONFIG})
    return Applied(changed, cluster.settled(topics, twins))


def _missing(by_name: Mapping[str, Topic], changed: Sequence[Difference]) -> list[Topic]:
    return [
        replace(by_name[d.topic], partitions=int(d.wanted))
        for d in changed
        if d.what is What.MISSING
    ]


class _Cluster:
    def __init__(self, client: Mapping[str, str], within: float) -> None:
        self._where = client.get("bootstrap.servers", "kafka")
        self._within = within
        self._heard = Complaints()
        told: dict[str, Any] = {**_QUIET, **client, "error_cb": self._heard}
        self._admin = AdminClient(told)

    def differences(self, topics: Sequence[Topic], twins: Twins) -> list[Difference]:
        counts = self._partition_counts()
        configs = self._configs([topic.name for topic in topics if topic.name in counts])
        return list(differences(topics, counts, configs, twins))

    def settled(self, topics: Sequence[Topic], twins: Twins) -> list[Difference]:
        """Ask until every broker's view holds what was changed; return what differs even so."""
        deadline = time.monotonic() + self._within
        left = self.differences(topics, twins)
        while any(each.appliable for each in left):
            if time.monotonic() >= deadline:
                names = ", ".join(sorted({each.topic for each in left if each.appliable}))
                raise BrokerUnavailable(
                    f"{self._where}: {names}: changed, but not seen so after {self._within:.0f} s: "
                    "see the broker's log, and apply again"
                )
            time.sleep(0.05)
            left = self.differences(topics, twins)
        return left

    def create(self, topics: Sequence[Topic], replication: int) -> None:
        if not topics:
            return
        wanted = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=replication,
                config=topic.config(),
            )
            for topic in topics
        ]
        with self._said():
            futures = self._admin.create_topics(wanted, request_timeout=self._within)
        for name, future in futures.items():
            # Created by another `apply` meanwhile: then what differs is seen when we look again.
            self._result(name, future, "Create", unless=KafkaError.TOPIC_ALREADY_EXISTS)

    def raise_partitions(self, counts: Mapping[str, int]) -> None:
        if not counts:
            return
        wanted = [NewPartitions(name, count) for name, count in counts.items()]
        with self._said():
            futures = self._admin.create_partitions(wanted, request_timeout=self._within)
        for name, future in futures.items():
            self._result(name, future, "Alter")

    def set(self, configs: Mapping[str, Mapping[str, str]]) -> None:
        if not configs:
            return
        wanted = [
            ConfigResource(
                ResourceType.TOPIC,
                name,
                incremental_configs=[
                    ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                    for key, value in config.items()
                ],
            )
            for name, config in configs.items()
        ]
        with self._said():
            futures = self._admin.incremental_alter_configs(wanted, request_timeout=self._within)
        for resource, future in futures.items():
            self._result(resource.name, future, "AlterConfigs")

    def _partition_counts(self) -> dict[str, int]:
        with self._said():
            metadata = metadata_of(self._admin, self._heard, self._where, within=self._within)
        return {
            name: len(topic.partitions)
            for name, topic in metadata.topics.items()
            if topic.error is None
        }

    def _configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        with self._said():
            futures = self._admin.describe_configs(resources, request_timeout=self._within)
        return {
            resource.name: {
                key: entry.value
                for key, entry in self._result(resource.name, future, "DescribeConfigs").items()
            }
            for resource, future in futures.items()
        }

    def _result(
        self, name: str, future: "Future[Any]", operation: str, unless: int | None = None
    ) -> Any:
        with self._said(name, operation):
            try:
                return future.result(self._within + 5)
            except KafkaException as error:
                if error.args[0].code() == unless:
                    return None
                raise

    @contextmanager
    def _said(self, topic: str = "", operation: str = "") -> Iterator[None]:
        """Turn what librdkafka raises into what we raise."""
        try:
            yield
        except (FutureTimeoutError, TimeoutError) as error:
            raise self._away("no answer") from error
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() in _AWAY:
                raise self._away(f"no answer ({reason.name()})") from error
            where = f"{self._where}: {topic}" if topic else self._where
            if (refused := refusal(where, reason, operation)) is not None:
                raise refused from error
            raise MasswatchError(
                f"{where}: refused by the broker: {reason.str().rstrip('.')}"
            ) from error

    def _away(self, why: str) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"{self._where}: {why}: start the broker (masswatch dev up starts a local one), "
            "or set MASSWATCH_KAFKA__BOOTSTRAP_SERVERS to where it is"
        )
