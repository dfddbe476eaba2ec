"""Redis flushed, brought back old, and rebuilt on demand, under workers that run."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from expectation import alerts_of_the_batch, standing, taken

from pipeline.config import child_environment
from pipeline.core.evidence import Matching
from pipeline.core.policy import Policy
from pipeline.demo.fleet import Worker, until
from pipeline.demo.rig import Rig
from pipeline.localstack import Stack, up
from pipeline.simulate.document import FILES
from pipeline.simulate.simulation import Plan, generate
from topics.alert import Alert

pytestmark = pytest.mark.stack

TENANT = str(uuid.uuid4())
UPN = "admin@example.org"
AUDIT, RISK, GRAPH = "intune.audit.v1", "defender.identity-info.v1", "graph.activity.v1"


@pytest.fixture
def rig(own_stack: Stack, tmp_path: Path) -> Iterator[Rig]:
    with Rig(own_stack, tmp_path) as rig:
        yield rig


def envelope(record: dict[str, Any]) -> bytes:
    return json.dumps({"records": [{"time": now(), "tenantId": TENANT, **record}]}).encode()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def an_assignment(event: str) -> tuple[str, bytes]:
    modified = [
        {"Name": "Target.Type", "Old": None, "New": "AllDevicesAssignmentTarget"},
        {"Name": "Intent", "Old": None, "New": "Required"},
    ]
    properties = {
        "AuditEventId": event,
        "Actor": {"UPN": UPN, "IsDelegatedAdmin": False},
        "Targets": [{"Name": "<null>", "ModifiedProperties": modified}],
    }
    record = {
        "category": "AuditLogs",
        "operationName": "Create MobileAppAssignment",
        "resultType": "Success",
        "identity": UPN,
        "correlationId": event,
        "properties": properties,
    }
    return AUDIT, envelope(record)


def a_graph_request(event: str) -> tuple[str, bytes]:
    properties = {
        "timeGenerated": now(),
        "requestId": f"request-of-{event}",
        "clientRequestId": event,
        "requestMethod": "POST",
        "requestUri": "https://graph.microsoft.com/beta/deviceAppManagement/mobileApps",
        "ipAddress": "192.0.2.7",
    }
    return GRAPH, envelope({"category": "MicrosoftGraphActivityLogs", "properties": properties})


def a_risk() -> tuple[str, bytes]:
    row = {"Timestamp": now(), "Type": "User", "RiskLevel": "High", "AccountUpn": UPN}
    return RISK, envelope({"category": "AdvancedHunting-IdentityInfo", "properties": row})


def readiness(worker: Worker) -> str:
    try:
        url = f"http://127.0.0.1:{worker.port}/readyz"
        with urllib.request.urlopen(url, timeout=2) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def rebuilds(worker: Worker) -> float:
    return worker.metrics().get('masswatch_rebuilds_total{end="done"}', 0)


def settle(rig: Rig) -> None:
    until(rig.is_settled, "every record handled", 60)


def wait_until_it_is_rebuilt(rig: Rig, worker: Worker) -> None:
    until(lambda: "store: facts are not complete" in readiness(worker), "not ready", 10)
    wait_until_it_is_ready(rig, worker)


def wait_until_it_is_ready(rig: Rig, worker: Worker) -> None:
    """Wait until the worker itself has seen it: only then it says what is lost next."""
    rig.wait_until_ready(worker)
    until(lambda: worker.metrics()["masswatch_store_ready"] == 1, "ready in the metrics", 5)


def the_alert(rig: Rig) -> Alert:
    until(lambda: bool(rig.alerts()), "an alert", 30)
    [alert] = rig.alerts().values()
    return alert


def test_after_a_flush_evidence_from_before_it_is_in_the_alert_that_a_late_risk_raises(
    rig: Rig, own_stack: Stack
) -> None:
    worker = rig.start_worker()
    rig.wait_until_ready(worker)
    rig.send([an_assignment("event-1"), a_graph_request("event-1")])
    settle(rig)

    with redis.Redis.from_url(own_stack.redis_url) as client:
        client.flushall()
    wait_until_it_is_rebuilt(rig, worker)
    rig.send([a_risk()])

    alert = the_alert(rig)
    assert alert.audit_event_id == "event-1"
    assert [one.request_id for one in alert.evidence.graph] == ["request-of-event-1"]
    assert len(alert.evidence.risk) == 1
    assert rebuilds(worker) == 2


def test_a_redis_that_came_back_with_an_old_state_is_not_believed(
    rig: Rig, own_stack: Stack
) -> None:
    worker = rig.start_worker()
    wait_until_it_is_ready(rig, worker)
    with redis.Redis.from_url(own_stack.redis_url) as client:
        client.save()
    rig.send([an_assignment("event-1"), a_graph_request("event-1")])
    settle(rig)

    os.kill(own_stack.redis.pid, signal.SIGKILL)
    up(own_stack.folder)
    wait_until_it_is_rebuilt(rig, worker)
    rig.send([a_risk()])

    assert [one.request_id for one in the_alert(rig).evidence.graph] == ["request-of-event-1"]
    assert "restarted, or is another" in worker.log.read_text()


def test_told_to_stop_a_worker_ends_the_rebuild_that_it_has_started(
    rig: Rig, own_stack: Stack
) -> None:
    worker = rig.start_worker()
    rig.wait_until_ready(worker)
    with redis.Redis.from_url(own_stack.redis_url) as client:
        client.flushall()
    until(lambda: len(children_of(worker)) == 1, "a rebuild", 10)
    [child] = children_of(worker)

    assert worker.stop() == 0

    assert not Path(f"/proc/{child}").exists()


def children_of(worker: Worker) -> list[str]:
    tasks = Path(f"/proc/{worker.pid}/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


def test_what_was_sent_while_the_store_was_lost_is_evaluated_afterwards(
    rig: Rig, own_stack: Stack
) -> None:
    worker = rig.start_worker()
    rig.wait_until_ready(worker)
    rig.send([an_assignment("event-1")])
    settle(rig)

    with redis.Redis.from_url(own_stack.redis_url) as client:
        client.flushall()
    rig.send([a_risk(), a_graph_request("event-1")])
    settle(rig)

    alert = the_alert(rig)
    assert len(alert.evidence.graph) == len(alert.evidence.risk) == 1


def test_a_planned_rebuild_under_traffic_of_two_workers_changes_nothing(
    rig: Rig, own_stack: Stack
) -> None:
    topics = {kind: name.removesuffix(".jsonl") for kind, name in FILES.items()}
    plan = Plan(seed=7, tenants=8, audit_events=8_000)
    values = [(topics[one.kind], one.value) for one in generate(plan)]
    workers = rig.start_worker(), rig.start_worker()
    rig.wait_until_ready(*workers)
    third = len(values) // 3
    rig.send(values[:third])

    with redis.Redis.from_url(own_stack.redis_url) as client:
        former = client.get("{mw1}/pointer")
        rebuilding = start_rebuild(own_stack)
        for first in range(third, len(values), 500):
            rig.send(values[first : first + 500])
        said, _ = rebuilding.communicate(timeout=60)
        until(rig.is_settled, "every record handled", 90)
        left = list(client.scan_iter(former.decode() + "/*"))

    assert rebuilding.returncode == 0
    rebuilt = json.loads(said)["rebuilt"]
    assert rebuilt["former"] == former.decode()
    assert rebuilt["values"] >= third
    assert rebuilt["facts"] > 0
    assert left == []
    assert standing(rig.alerts().values()) == alerts_of_the_batch(
        taken(values, Matching.REPAIRED).facts, Policy()
    )


def start_rebuild(stack: Stack, *options: str) -> subprocess.Popen[bytes]:
    settings = {"KAFKA__BOOTSTRAP_SERVERS": stack.bootstrap_servers, "REDIS__URL": stack.redis_url}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "rebuild", "--output", "json", *options],
        env=child_environment(settings),
        stdout=subprocess.PIPE,
    )
