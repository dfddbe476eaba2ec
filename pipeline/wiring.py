"""The composition root: from settings to the parts of a worker. It also has the clock."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from pipeline.adapters.kafka_alerts import KafkaAlerts
from pipeline.adapters.kafka_deliveries import Deliveries
from pipeline.adapters.kafka_metadata import partition_counts
from pipeline.adapters.kafka_sinks import (
    KafkaDeadLetters,
    KafkaRequests,
    partition_of,
    request_key,
)
from pipeline.adapters.metrics import Metrics
from pipeline.adapters.placed_facts import PlacedFacts
from pipeline.adapters.redis_client import connect
from pipeline.adapters.redis_facts import TOLERATED_LAG
from pipeline.adapters.redis_placement import Placement
from pipeline.config import Settings
from pipeline.core.errors import ConfigError
from pipeline.core.event_time import EventTime, event_time_of
from pipeline.core.model import AssignmentId
from pipeline.core.policy import Policy
from pipeline.policy_file import load_policy
from pipeline.ports import DeadLetterSink, FactStore, RequestSink
from pipeline.reader.settings import ReaderSettings
from pipeline.sources.decode import Decoder
from pipeline.sources.sieve import Sieve
from pipeline.sources.sieving import SievingDecoder
from pipeline.stages.evaluate import Evaluate
from pipeline.stages.observe import Observe
from topics.catalogue import ALERTS, EVALUATIONS, Sources, dlq_of

_EVALUATOR: Final = "evaluations"
"""The agent that reads requests, as its group is called."""

_STOP_SHARE: Final = 2 / 3
"""What of the time for a stop the readers may take; the rest is for what stops after them."""


def clock() -> EventTime:
    """Return the time that it is now."""
    return event_time_of(datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class SourceReading:
    """What one source agent reads, as which member of which group, through which sieve."""

    agent: str
    topics: tuple[str, ...]
    settings: ReaderSettings
    sieve: Sieve


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker is made of."""

    placement: Placement
    facts: FactStore
    requests: RequestSink
    letters: DeadLetterSink
    observe: Observe
    evaluate: Evaluate
    metrics: Metrics
    sources: tuple[SourceReading, ...]
    evaluations: ReaderSettings
    deliveries: Deliveries
    application: str
    client: Mapping[str, str]
    partition_of: Callable[[AssignmentId], int]

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.evaluate.policy

    def follow(self, policy: Policy) -> None:
        """Put another policy in force, for all parts at once: nothing is awaited."""
        for source in self.sources:
            source.sieve.follow(policy.matching)
        facts = PlacedFacts(self.placement, policy.windows)
        self.observe.follow(facts, _decoder(policy), policy.windows)
        self.evaluate.follow(policy, facts)
        self.metrics.policy_in_force(policy.digest)

    async def take_over(self, partition: int) -> KafkaAlerts:
        """Become the one writer of a partition of the alerts; see `KafkaAlerts.open`."""
        return await KafkaAlerts.open(partition, client=self.client, application=self.application)

    async def close(self) -> None:
        """Give back what the parts hold open."""
        await self.deliveries.close()
        await self.facts.close()


def worker_parts(settings: Settings) -> Parts:
    """Build the parts of a worker, after a look at the cluster; blocks.

    Raises:
        ConfigError: the policy is wrong, or topics do not exist or do not fit.
        BrokerRefuses: a broker does not let us in, or hides topics from us.
        BrokerUnavailable: no broker answers.
    """
    policy = load_policy(settings.policy_file)
    kafka = settings.kafka
    client = kafka.client()
    partitions = _check_topics(kafka.sources, partition_counts(client, _needed(kafka.sources)))
    placement = _placement(settings)
    facts = PlacedFacts(placement, policy.windows)
    deliveries = Deliveries(client)
    requests, letters = KafkaRequests(deliveries, partitions), KafkaDeadLetters(deliveries)
    metrics = Metrics(_version())
    metrics.policy_in_force(policy.digest)
    return Parts(
        placement=placement,
        facts=facts,
        requests=requests,
        letters=letters,
        observe=Observe(
            facts=facts,
            requests=requests,
            letters=letters,
            decode=_decoder(policy),
            windows=policy.windows,
            counts=metrics,
        ),
        evaluate=Evaluate(facts=facts, policy=policy, clock=clock, counts=metrics),
        metrics=metrics,
        sources=tuple(
            SourceReading(agent, topics, _reading(settings, agent), Sieve(policy.matching))
            for agent, topics in topics_of_agents(kafka.sources).items()
        ),
        evaluations=_reading(settings, _EVALUATOR),
        deliveries=deliveries,
        application=kafka.application_id,
        client=client,
        partition_of=lambda asked: partition_of(request_key(asked), partitions),
    )


@dataclass(frozen=True, slots=True)
class RebuildParts:
    """What a rebuild is made of."""

    policy: Policy
    placement: Placement
    requests: RequestSink
    deliveries: Deliveries
    topics: tuple[str, ...]
    client: Mapping[str, str]

    def since_ms(self, now_ms: int) -> int:
        """Return the record time from which on a fact still counts: it expires as in Redis."""
        kept_for = self.policy.windows.retention + TOLERATED_LAG
        return now_ms - kept_for // timedelta(milliseconds=1)

    async def close(self) -> None:
        """Give back what the parts hold open."""
        await self.deliveries.close()
        await self.placement.close()


def rebuild_parts(settings: Settings) -> RebuildParts:
    """Build the parts of a rebuild, after a look at the cluster; blocks.

    Raises:
        ConfigError: the policy is wrong, or topics do not exist or do not fit.
        BrokerRefuses: a broker does not let us in, or hides topics from us.
        BrokerUnavailable: no broker answers.
    """
    kafka = settings.kafka
    client = kafka.client()
    partitions = _check_topics(kafka.sources, partition_counts(client, _needed(kafka.sources)))
    deliveries = Deliveries(client)
    return RebuildParts(
        policy=load_policy(settings.policy_file),
        placement=_placement(settings),
        requests=KafkaRequests(deliveries, partitions),
        deliveries=deliveries,
        topics=kafka.sources.all,
        client=client,
    )


def fact_store(settings: Settings, policy: Policy) -> FactStore:
    """Return the store of the facts in force, for whoever closes it; speaks to nobody yet.

    Raises:
        ConfigError: the url or the namespace cannot be read.
    """
    return PlacedFacts(_placement(settings), policy.windows)


def _placement(settings: Settings) -> Placement:
    return Placement(connect(**settings.redis.client()), settings.redis.namespace)


def _decoder(policy: Policy) -> SievingDecoder:
    return SievingDecoder(Decoder(policy.matching, policy.workspaces))


def _version() -> str:
    try:
        return version("masswatch")
    except PackageNotFoundError:  # run from a folder of sources
        return "sources"


def _check_topics(sources: Sources, counts: Mapping[str, int]) -> int:
    """Return the partitions of the evaluations topic, if every topic is there and fits."""
    faults = [
        f"topic {name}: does not exist: run masswatch topics apply"
        for name in _needed(sources)
        if name not in counts
    ]
    evaluations, alerts = counts.get(EVALUATIONS, 0), counts.get(ALERTS, 0)
    if not faults and evaluations != alerts:
        faults.append(
            f"topic {EVALUATIONS}: {evaluations} partitions, where {ALERTS} has {alerts}: "
            "create them alike: the owner of one writes the other"
        )
    if faults:
        raise ConfigError("\n".join(faults))
    return evaluations


def _needed(sources: Sources) -> Sequence[str]:
    read = (*sources.all, EVALUATIONS)
    return (*read, *(dlq_of(name) for name in read), ALERTS)


def groups_of(application: str, sources: Sources) -> dict[str, tuple[str, ...]]:
    """Return what each consumer group of an application reads."""
    agents = {**topics_of_agents(sources), _EVALUATOR: (EVALUATIONS,)}
    return {_group_of(application, agent): topics for agent, topics in agents.items()}


def topics_of_agents(sources: Sources) -> dict[str, tuple[str, ...]]:
    """Give every topic to one agent, the first that names it: records say themselves what they are.

    Two agents on one topic would handle each of its records twice.
    """
    given: set[str] = set()
    agents: dict[str, tuple[str, ...]] = {}
    for agent, names in (
        ("audit", sources.audit),
        ("identity_info", sources.identity_info),
        ("behavior_entities", sources.behavior_entities),
        ("graph_activity", sources.graph_activity),
    ):
        ours = tuple(name for name in dict.fromkeys(names) if name not in given)
        given.update(ours)
        if ours:
            agents[agent] = ours
    return agents


def _group_of(application: str, agent: str) -> str:
    return f"{application}.{agent}"


def _reading(settings: Settings, agent: str) -> ReaderSettings:
    """Say how an agent reads: signs of life come thrice within the session and the lease."""
    kafka, worker = settings.kafka, settings.worker
    return ReaderSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=_group_of(kafka.application_id, agent),
        session_timeout=kafka.session_timeout,
        heartbeat_interval=min(timedelta(seconds=3), kafka.session_timeout / 3),
        lease=worker.lease,
        renew_interval=min(timedelta(seconds=2.5), worker.lease / 3),
        commit_timeout=min(timedelta(seconds=5), kafka.session_timeout / 2),
        commit_interval=worker.commit_interval,
        stop_timeout=min(timedelta(seconds=12), worker.stop_within * _STOP_SHARE),
        fetch_max_bytes=kafka.fetch_max_bytes,
        client=kafka.aiokafka(),
    )
