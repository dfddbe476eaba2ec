"""`masswatch why` against a real Kafka and Redis: what live says, and whether it agrees."""

import json
import os
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from builders import (
    DANA,
    MONDAY,
    JsonObject,
    audit_properties,
    audit_record,
    hunting_record,
    identity_row,
    value_of,
)
from confluent_kafka import Producer
from stages import Counts, always
from stages import run as run_async

from pipeline.adapters import kafka_admin
from pipeline.adapters.kafka_alerts import KafkaAlerts
from pipeline.adapters.kafka_metadata import partition_counts
from pipeline.adapters.kafka_sinks import partition_of, request_key
from pipeline.adapters.placed_facts import PlacedFacts
from pipeline.adapters.redis_client import connect
from pipeline.adapters.redis_placement import Placement
from pipeline.cli import run
from pipeline.core.model import Assignment, AssignmentId, Fact, Position, Risk, Seen
from pipeline.core.policy import Policy
from pipeline.localstack import Addresses
from pipeline.sources.decode import Decoder
from pipeline.stages.evaluate import Evaluate
from topics.catalogue import ALERTS, Sources, catalogue

pytestmark = pytest.mark.stack

EVENT = "B5B0D1C7-62f4-4d8e-9a0e-2f6c1e7a9d33"


class Live:
    """One tenant, whose records lie in topics and whose facts and alerts are as workers leave them.

    Each test has a namespace, source topics and a tenant of its own.
    """

    def __init__(self, addresses: Addresses, prefix: str) -> None:
        self.tenant = str(uuid.uuid4())
        self.namespace = prefix
        self.audit = prefix + "audit"
        self.redis_url = addresses.redis_url
        self.client = {"bootstrap.servers": addresses.bootstrap_servers}
        self.sources = Sources(*((prefix + one,) for one in ("audit", "identity", "beh", "graph")))
        kafka_admin.apply(catalogue(self.sources), self.client, replication=1)

    def environment(self, bootstrap_servers: str) -> dict[str, str]:
        topics = "MASSWATCH_KAFKA__TOPICS__"
        return {
            "MASSWATCH_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
            "MASSWATCH_REDIS__URL": self.redis_url,
            "MASSWATCH_REDIS__NAMESPACE": self.namespace,
            f"{topics}AUDIT": self.sources.audit[0],
            f"{topics}IDENTITY_INFO": self.sources.identity_info[0],
            f"{topics}BEHAVIOR_ENTITIES": self.sources.behavior_entities[0],
            f"{topics}GRAPH_ACTIVITY": self.sources.graph_activity[0],
        }

    def event(self, **members: object) -> bytes:
        record: JsonObject = {"properties": audit_properties(AuditEventId=EVENT), **members}
        return value_of(audit_record(tenantId=self.tenant, **record))

    def risk(self) -> bytes:
        return value_of(hunting_record("IdentityInfo", identity_row(), tenantId=self.tenant))

    def send(self, *values: bytes) -> None:
        producer = Producer({**self.client, "log_level": "0"})
        for value in values:
            producer.produce(self.audit, value, partition=0)
        assert producer.flush(20) == 0

    def handle(self, *values: bytes, policy: Policy | None = None) -> None:
        """Store the facts of values and publish what follows, as a worker does."""
        facts: list[Seen[Fact]] = [
            Seen(one.decoded, Position(self.audit, 0, offset, one.index))
            for offset, value in enumerate(values)
            for one in Decoder()(value)
            if isinstance(one.decoded, Assignment | Risk)
        ]
        run_async(self._handle(facts, policy or Policy()))

    async def _handle(self, facts: Sequence[Seen[Fact]], policy: Policy) -> None:
        of = AssignmentId(self.tenant, EVENT)
        partition = partition_of(request_key(of), partition_counts(self.client)[ALERTS])
        placement = Placement(connect(self.redis_url), self.namespace)
        alerts = await KafkaAlerts.open(
            partition, client=self.client, application=self.namespace + "why"
        )
        try:
            site = await placement.begin(uuid.uuid4().hex, policy.windows)
            await site.facts.add(facts)
            await site.put_in_force()
            await site.finish()
            evaluate = Evaluate(
                facts=PlacedFacts(placement, policy.windows),
                policy=policy,
                clock=lambda: MONDAY,
                counts=Counts(),
            )
            assert await evaluate([of], alerts, always)
        finally:
            alerts.close()
            await placement.close()


@pytest.fixture
def live(stack: Addresses, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Live:
    place = Live(stack, prefix)
    for name in [one for one in os.environ if one.startswith("MASSWATCH_")]:
        monkeypatch.delenv(name)
    for name, of in place.environment(stack.bootstrap_servers).items():
        monkeypatch.setenv(name, of)
    return place


def why(
    live: Live, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0
) -> dict[str, Any]:
    given = ["why", "--tenant", live.tenant, "--event", EVENT, *arguments, "--output", "json"]
    capsys.readouterr()  # what a worker would have logged
    assert run(given) == code
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def test_the_live_store_explains_what_was_published_and_agrees(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    live.handle(live.event(), live.risk())

    said = why(live, capsys)

    [risk] = said["reasons"][0]["evidence"]
    assert said["says"] == "alert, medium: user_risk"
    assert risk["position"] == f"{live.audit}[0]@1"
    assert said["records"][0]["position"] == f"{live.audit}[0]@0"
    assert said["live"]["agrees"] is True
    assert said["live"]["last"]["revision"] == 1
    assert said["live"]["last"]["status"] == "active"
    assert said["live"]["last"]["digest"] == said["verdict"]["digest"]
    assert said["live"]["last"]["policy_digest"] == said["policy_digest"]


def test_another_policy_says_what_would_differ_from_live(
    live: Live, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    live.handle(live.event(), live.risk())
    policy = tmp_path / "policy.toml"
    policy.write_text('[severity]\nraised = "high"\n', encoding="utf-8")

    said = why(live, capsys, "--policy", str(policy))

    assert said["live"]["agrees"] is False
    assert said["live"]["differing"] == ["severity"]
    assert said["live"]["hint"].startswith("published by another policy")


def test_an_assignment_that_stayed_quiet_is_explained_from_the_store(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    live.handle(live.event())

    said = why(live, capsys)

    assert said["verdict"]["outcome"] == "quiet"
    assert said["live"] == {
        "agrees": True,
        "says": "nothing was published of it",
        "hint": None,
        "differing": [],
        "last": None,
    }


def test_evidence_that_has_expired_in_the_store_is_known_from_the_last_revision(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    live.handle(live.event(), live.risk())
    live.handle(live.event())

    said = why(live, capsys)

    assert said["verdict"]["outcome"] == "alert"
    assert said["live"]["agrees"] is True


def test_an_event_that_is_no_assignment_is_found_in_the_topics_alone(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = live.event(resultType="Failure")
    live.send(live.risk(), failed)
    live.handle()

    unknown = why(live, capsys, code=1)
    found = why(live, capsys, "--topics")
    bounded = why(live, capsys, "--from", "2026-03-02", "--to", "2026-03-03")

    assert (unknown["found"], unknown["looked_in"]) == (False, "the live store")
    assert found["says"].endswith("not true that ResultType is Success (found: Failure)")
    assert found["records"][0]["position"] == f"{live.audit}[0]@1"
    assert bounded["records"] == found["records"]


def test_the_topics_agree_with_live(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    live.send(live.event(), live.risk())
    live.handle(live.event(), live.risk())

    said = why(live, capsys, "--topics")

    assert said["says"] == "alert, medium: user_risk"
    assert said["live"]["agrees"] is True


def test_a_person_is_told_that_live_agrees_and_where_else_to_ask(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    live.handle(live.event(), live.risk())
    asked = ["why", "--tenant", live.tenant, "--event"]

    assert run([*asked, EVENT]) == 0
    out = capsys.readouterr().out
    assert "live agrees: revision 1 is active, medium, user_risk" in out
    assert DANA in out
    assert run([*asked, "nope"]) == 1
    assert "ask the topics with --from and --to" in capsys.readouterr().out


def test_a_store_without_facts_is_not_reachable(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["why", "--tenant", live.tenant, "--event", EVENT]) == 4
    assert "has no facts" in capsys.readouterr().err
