"""A look at a Kafka cluster that changes nothing there, and takes no longer than it may."""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from pipeline.adapters.kafka_first_times import first_times
from pipeline.adapters.kafka_group_look import committed, described
from pipeline.adapters.kafka_refusals import refusal
from pipeline.adapters.kafka_standing import (
    GroupStanding,
    KafkaStanding,
    Offsets,
    Place,
    Replicas,
    TopicStanding,
)
from pipeline.adapters.not_reached import NotReached

Wanted = Callable[[KafkaStanding], Iterable[tuple[Place, int]]]
"""Says of which records, by partition and offset, the time is wanted."""

INTERNAL: Final = ("__consumer_offsets", "__transaction_state")
"""Topics of Kafka's own, on whose replicas commits and alerts rest."""

_QUIET: Final = {"log_level": "0", "reconnect.backoff.max.ms": "250"}
_CONNECTS_WITHIN: Final = 4.0
_ANSWERS_WITHIN: Final = 3.0
_POLL_SECONDS: Final = 0.05
_TRIES: Final = 3
"""How often no broker could be connected to before it is believed."""
_ENDS: Final = 3
"""The first offset of a partition, its stable end and its end."""
_ALL_DOWN: Final = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - librdkafka's own codes begin with a dash

_REMEDIES: Final = {
    KafkaError._RESOLVE: "correct MASSWATCH_KAFKA__BOOTSTRAP_SERVERS, or the name service",  # noqa: SLF001 - the same
    KafkaError._TRANSPORT: (  # noqa: SLF001 - the same
        "start the broker (masswatch dev up starts a local one), or correct "
        "MASSWATCH_KAFKA__BOOTSTRAP_SERVERS and MASSWATCH_KAFKA__SECURITY_PROTOCOL"
    ),
}
"""What to do about a connection that does not come about; the first that was seen counts."""

_FRAME: Final = re.compile(r"^\S+/(?:bootstrap|\d+): | \(after \d+ms in state \w+[^)]*\)$")
"""What librdkafka puts around the reason of an error."""


def look_at_kafka(
    client: Mapping[str, str],
    topics: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    *,
    wanted: Wanted,
    within: timedelta,
) -> KafkaStanding | NotReached:
    """Look how a cluster stands; blocks. Joins no group, and writes and creates nothing.

    Args:
        client: librdkafka's settings, `bootstrap.servers` among them.
        topics: The topics to look for.
        groups: The groups to look for, each with the topics that it reads.
        wanted: Asked when all else is known: of which records the time is wanted.
        within: How long it may take; what is not known by then is `untold`.
    """
    deadline = time.monotonic() + within.total_seconds()
    try:
        look = _Look(client, deadline)
    except KafkaException as error:
        return NotReached(
            "kafka settings",
            _text(error.args[0]),
            "correct the MASSWATCH_KAFKA settings",
            is_refused=True,
        )
    found = look.cluster()
    if isinstance(found, NotReached):
        return found
    known, forbidden = look.topics([*topics, *INTERNAL])
    standing = replace(
        found,
        settings=look.broker_settings(found),
        topics=known,
        forbidden=forbidden - set(INTERNAL),
        configs=look.configs([name for name in topics if name in known]),
        # Before the ends: what is committed meanwhile must not look like more than there is.
        groups=look.groups(groups, known),
        offsets=look.offsets({name: known[name] for name in topics if name in known}),
    )
    times = look.times(tuple(wanted(standing)))
    return replace(standing, times_ms=times, untold=dict(look.untold))


class _Look:
    def __init__(self, client: Mapping[str, str], deadline: float) -> None:
        self.untold: dict[str, str] = {}
        self._client = client
        self._deadline = deadline
        self._seen: list[KafkaError] = []
        settings: dict[str, Any] = {**client, **_QUIET, "error_cb": self._seen.append}
        self._admin = AdminClient(settings)

    def cluster(self) -> KafkaStanding | NotReached:
        within = min(_CONNECTS_WITHIN, self._left())
        asked = self._admin.describe_cluster(request_timeout=within)
        waits_until = time.monotonic() + within + 1
        while not asked.done() and time.monotonic() < waits_until and not self._is_hopeless():
            self._admin.poll(_POLL_SECONDS)
        try:
            told = asked.result(0)
        except (KafkaException, FutureTimeoutError, TimeoutError):
            return self._not_reached(within)
        return KafkaStanding(
            cluster=told.cluster_id or "",
            brokers=frozenset(node.id for node in told.nodes),
            controller=None if told.controller is None else told.controller.id,
        )

    def broker_settings(self, found: KafkaStanding) -> dict[str, str]:
        if not found.brokers:
            return {}
        broker = found.controller if found.controller in found.brokers else min(found.brokers)
        told = self._configs("settings", ResourceType.BROKER, [str(broker)])
        return told.get(str(broker), {})

    def topics(self, names: Sequence[str]) -> tuple[dict[str, TopicStanding], frozenset[str]]:
        known: dict[str, TopicStanding] = {}
        forbidden: set[str] = set()
        asked = self._admin.describe_topics(
            TopicCollection(list(dict.fromkeys(names))),
            include_authorized_operations=True,
            request_timeout=self._patience(),
        )
        for name, future in asked.items():
            try:
                known[name] = _topic(future.result(self._patience()))
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    forbidden.add(name)
                elif code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    self.untold["topics"] = _text(error.args[0])
            except (FutureTimeoutError, TimeoutError):
                self.untold["topics"] = "no answer in time"
        return known, frozenset(forbidden)

    def configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        return self._configs("configs", ResourceType.TOPIC, names)

    def offsets(self, topics: Mapping[str, TopicStanding]) -> dict[Place, Offsets]:
        places = [
            Place(name, partition)
            for name, topic in topics.items()
            for partition, replicas in topic.partitions.items()
            if replicas.leader is not None
        ]
        everything, stable_only = IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED
        first = self._offsets("offsets", places, OffsetSpec.earliest(), everything)  # type: ignore[no-untyped-call]
        # Before the stable end: what is appended meanwhile must not look like held back.
        end = self._offsets("offsets", places, OffsetSpec.latest(), everything)  # type: ignore[no-untyped-call]
        stable = self._offsets("offsets", places, OffsetSpec.latest(), stable_only)  # type: ignore[no-untyped-call]
        # Not every broker can tell it; the offsets are worth as much without.
        newest = self._offsets("newest_ms", places, OffsetSpec.max_timestamp(), everything)  # type: ignore[no-untyped-call]
        found: dict[Place, Offsets] = {}
        for place in places:
            told = [of[place].offset for of in (first, stable, end) if place in of]
            # librdkafka gives an offset below zero for no answer.
            if len(told) < _ENDS or min(told) < 0:
                self.untold.setdefault("offsets", "no answer in time")
                continue
            time_ms = newest[place].timestamp if place in newest else -1
            begins, settled, ends = told
            found[place] = Offsets(
                begins, settled, max(ends, settled), time_ms if time_ms >= 0 else None
            )
        return found

    def groups(
        self, groups: Mapping[str, Sequence[str]], topics: Mapping[str, TopicStanding]
    ) -> dict[str, GroupStanding]:
        """Describe those of the groups that there are."""
        found: dict[str, GroupStanding] = {}
        for name, read in groups.items():
            try:
                told = described(self._admin, name, self._patience())
                places = [
                    Place(topic, partition)
                    for topic in read
                    if topic in topics
                    for partition in topics[topic].partitions
                ]
                offsets = committed(self._client, name, places, self._patience())
            except LookupError:
                continue
            except KafkaException as error:
                self.untold["groups"] = _text(error.args[0])
            else:
                found[name] = GroupStanding(*told, offsets)
        return found

    def times(self, wanted: Sequence[tuple[Place, int]]) -> dict[tuple[Place, int], int]:
        try:
            return first_times(self._client, wanted, within=timedelta(seconds=self._patience()))
        except KafkaException as error:
            self.untold["times_ms"] = _text(error.args[0])
            return {}

    def _offsets(
        self, what: str, places: Iterable[Place], spec: OffsetSpec, isolation: IsolationLevel
    ) -> dict[Place, Any]:
        asked = {TopicPartition(*place): spec for place in places}
        if not asked:
            return {}
        answers = self._admin.list_offsets(
            asked, isolation_level=isolation, request_timeout=self._patience()
        )
        told = (
            (Place(of.topic, of.partition), self._answer(what, future))
            for of, future in answers.items()
        )
        return {place: answer for place, answer in told if answer is not None}

    def _configs(
        self, what: str, kind: ResourceType, names: Sequence[str]
    ) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        answers = self._admin.describe_configs(
            [ConfigResource(kind, name) for name in names], request_timeout=self._patience()
        )
        found: dict[str, dict[str, str]] = {}
        for resource, future in answers.items():
            told = self._answer(what, future)
            if told is not None:
                found[resource.name] = {key: entry.value or "" for key, entry in told.items()}
        return found

    def _answer(self, what: str, future: "Future[Any]") -> Any:
        """Return an answer; without one, None, and say why."""
        try:
            return future.result(self._patience() + 1)
        except KafkaException as error:
            self.untold[what] = _text(error.args[0])
        except (FutureTimeoutError, TimeoutError):
            self.untold[what] = "no answer in time"
        return None

    def _is_hopeless(self) -> bool:
        return [error.code() for error in self._seen].count(_ALL_DOWN) >= _TRIES

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _patience(self) -> float:
        return max(0.1, min(_ANSWERS_WITHIN, self._left()))

    def _not_reached(self, within: float) -> NotReached:
        where = self._client.get("bootstrap.servers", "kafka")
        for error in self._seen:
            if (refused := refusal(where, error, "")) is not None:
                return NotReached.of(refused)
        by_code = {error.code(): error for error in reversed(self._seen)}
        for code, remedy in _REMEDIES.items():
            if code in by_code:
                return NotReached(where, _text(by_code[code]), remedy)
        return NotReached(
            where, f"no answer within {within:.0f} s", "look at the broker and the network"
        )


def _topic(told: Any) -> TopicStanding:
    return TopicStanding(
        {
            one.id: Replicas(
                None if one.leader is None or one.leader.id < 0 else one.leader.id,
                frozenset(node.id for node in one.replicas),
                frozenset(node.id for node in one.isr),
            )
            for one in told.partitions
        },
        _operations(told.authorized_operations),
    )


def _operations(told: Iterable[Any] | None) -> frozenset[str] | None:
    return None if told is None else frozenset(one.name for one in told)


def _text(error: KafkaError) -> str:
    said = _FRAME.sub("", error.str()).removeprefix("Broker: ").rstrip(".")
    return said if said[:2].isupper() else said[:1].lower() + said[1:]
