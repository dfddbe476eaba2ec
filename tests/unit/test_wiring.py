import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from builders import activity_properties, activity_record, value_of
from stages import Counts, always

from pipeline.adapters.kafka_deliveries import Deliveries
from pipeline.adapters.memory_alerts import MemoryAlertsTopic, MemoryDeadLetters, MemoryRequests
from pipeline.adapters.memory_facts import MemoryFacts
from pipeline.adapters.metrics import Metrics
from pipeline.adapters.redis_client import connect
from pipeline.adapters.redis_placement import Placement
from pipeline.config import KafkaSettings, Settings, WorkerSettings
from pipeline.core.errors import ConfigError, StoreUnavailable
from pipeline.core.evidence import Matching
from pipeline.core.model import AssignmentId, Position
from pipeline.core.policy import Policy
from pipeline.ports import Candidate
from pipeline.sources.decode import Decoder
from pipeline.sources.sieve import Sieve
from pipeline.stages.evaluate import Evaluate
from pipeline.stages.observe import Observe
from pipeline.wiring import Parts, SourceReading, _check_topics, _reading, clock, topics_of_agents
from topics.catalogue import ALERTS, EVALUATIONS, Sources, catalogue, dlq_of


def counts(sources: Sources) -> dict[str, int]:
    return {topic.name: topic.partitions for topic in catalogue(sources)}


def test_topics_as_they_are_declared_fit() -> None:
    assert _check_topics(Sources(), counts(Sources())) == 8


def test_every_missing_topic_is_named_at_once() -> None:
    found = counts(Sources())
    del found["graph.activity.v1"], found[dlq_of("intune.audit.v1")]

    with pytest.raises(ConfigError) as raised:
        _check_topics(Sources(), found)

    assert str(raised.value).splitlines() == [
        "topic graph.activity.v1: does not exist: run masswatch topics apply",
        "topic intune.audit.v1.dlq: does not exist: run masswatch topics apply",
    ]


def test_evaluations_and_alerts_need_the_same_number_of_partitions() -> None:
    with pytest.raises(ConfigError, match=rf"{EVALUATIONS}: 8 partitions, where {ALERTS} has 4"):
        _check_topics(Sources(), counts(Sources()) | {ALERTS: 4})


def test_a_topic_of_mixed_tables_is_read_by_one_agent_alone() -> None:
    sources = Sources(audit=("mixed", "audit"), graph_activity=("mixed",))

    assert topics_of_agents(sources) == {
        "audit": ("mixed", "audit"),
        "identity_info": ("defender.identity-info.v1",),
        "behavior_entities": ("defender.behavior-entities.v1",),
    }


@pytest.mark.parametrize(("session", "lease"), [(1.0, 0.5), (3.0, 2.0), (10.0, 7.0), (60.0, 50.0)])
def test_signs_of_life_follow_a_short_session_and_a_short_lease(
    session: float, lease: float
) -> None:
    settings = Settings(
        kafka=KafkaSettings(session_timeout=timedelta(seconds=session)),
        worker=WorkerSettings(lease=timedelta(seconds=lease)),
    )

    reading = _reading(settings, "audit")

    assert reading.heartbeat_interval == min(timedelta(seconds=3), timedelta(seconds=session) / 3)
    assert reading.renew_interval == min(timedelta(seconds=2.5), timedelta(seconds=lease) / 3)
    assert reading.commit_timeout == min(timedelta(seconds=5), timedelta(seconds=session) / 2)


@contextmanager
def parts_of(policy: Policy, counts: Counts) -> Iterator[Parts]:
    """The parts of a worker whose Redis and Kafka are nowhere; its first facts in memory."""
    facts, requests, letters = MemoryFacts(policy.windows), MemoryRequests(), MemoryDeadLetters()
    nowhere = {"bootstrap.servers": "127.0.0.1:1"}
    deliveries = Deliveries(nowhere)
    reading = _reading(Settings(), "graph_activity")
    yield Parts(
        placement=Placement(connect("redis://127.0.0.1:1/0"), "nowhere"),
        facts=facts,
        requests=requests,
        letters=letters,
        observe=Observe(
            facts=facts,
            requests=requests,
            letters=letters,
            decode=Decoder(policy.matching),
            windows=policy.windows,
            counts=counts,
        ),
        evaluate=Evaluate(facts=facts, policy=policy, clock=clock, counts=counts),
        metrics=Metrics("1"),
        sources=(SourceReading("graph_activity", ("graph",), reading, Sieve(policy.matching)),),
        evaluations=reading,
        deliveries=deliveries,
        application="nowhere",
        client=nowhere,
        partition_of=lambda _: 0,
    )
    asyncio.run(deliveries.close())


def test_another_policy_is_followed_by_everything_that_goes_by_one() -> None:
    value = value_of(activity_record(properties=activity_properties(requestUri="/users")))
    call = Candidate(Position("graph", 0, 0), value)
    faithful, counts = Policy(matching=Matching.FAITHFUL), Counts()
    with parts_of(Policy(), counts) as parts:
        (source,) = parts.sources
        admitted = source.sieve.admits(value)
        asyncio.run(parts.observe([call], always))

        parts.follow(faithful)

        assert (admitted, source.sieve.admits(value)) == (False, True)
        assert counts.seen == {"ignored other_request": 1}
        with pytest.raises(StoreUnavailable):  # decoded now, and written to the facts in Redis
            asyncio.run(parts.observe([call], always))
        with pytest.raises(StoreUnavailable):
            asyncio.run(
                parts.evaluate([AssignmentId("t", "e")], MemoryAlertsTopic().open(), always)
            )
        assert parts.policy == parts.evaluate.policy == faithful
        assert f'{{digest="{faithful.digest}"}} 1.0' in parts.metrics.text().decode()
