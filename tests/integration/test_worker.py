import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
import redis
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from pipeline.adapters import kafka_admin
from pipeline.adapters.kafka_alerts import KafkaAlerts
from pipeline.adapters.kafka_metadata import partition_counts
from pipeline.localstack import Addresses, Stack, up
from topics.catalogue import ALERTS, Sources, catalogue, dlq_of

pytestmark = pytest.mark.stack

REPO = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "pipeline", "worker")
UPN = "admin@example.org"


@dataclass
class Place:
    """Topics, a group and a namespace that no other test has, and one tenant."""

    addresses: Addresses
    prefix: str
    tenant: str = field(default_factory=lambda: str(uuid.uuid4()))
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> dict[str, str]:
        return {"bootstrap.servers": self.addresses.bootstrap_servers}

    @property
    def application(self) -> str:
        return self.prefix + "masswatch"

    @property
    def audit(self) -> str:
        return self.prefix + "audit"

    @property
    def identity_info(self) -> str:
        return self.prefix + "identity-info"

    @property
    def behavior_entities(self) -> str:
        return self.prefix + "behavior-entities"

    def environment(self, port: int) -> dict[str, str]:
        topics = "MASSWATCH_KAFKA__TOPICS__"
        return {
            **os.environ,
            "MASSWATCH_KAFKA__BOOTSTRAP_SERVERS": self.addresses.bootstrap_servers,
            "MASSWATCH_KAFKA__APPLICATION_ID": self.application,
            "MASSWATCH_REDIS__URL": self.addresses.redis_url,
            "MASSWATCH_REDIS__NAMESPACE": self.prefix,
            "MASSWATCH_HTTP__PORT": str(port),
            f"{topics}AUDIT": self.audit,
            f"{topics}IDENTITY_INFO": self.identity_info,
            f"{topics}BEHAVIOR_ENTITIES": self.behavior_entities,
            f"{topics}GRAPH_ACTIVITY": self.prefix + "graph",
            **self.settings,
        }

    def create_topics(self) -> Self:
        sources = Sources(
            audit=(self.audit,),
            identity_info=(self.identity_info,),
            behavior_entities=(self.behavior_entities,),
            graph_activity=(self.prefix + "graph",),
        )
        kafka_admin.apply(catalogue(sources), self.client, replication=1)
        return self

    def send(self, topic: str, *values: bytes) -> None:
        producer = Producer({**self.client, "log_level": "0"})
        for value in values:
            producer.produce(topic, value)
        assert producer.flush(20) == 0

    def an_assignment(self, event: str, *, is_delegated_admin: bool = False) -> bytes:
        modified = [
            {"Name": "Target.Type", "Old": None, "New": "AllDevicesAssignmentTarget"},
            {"Name": "Intent", "Old": None, "New": "Required"},
        ]
        properties = {
            "AuditEventId": event,
            "Actor": {"UPN": UPN, "IsDelegatedAdmin": is_delegated_admin},
            "TargetDisplayNames": ["Notepad"],
            "Targets": [{"Name": "<null>", "ModifiedProperties": modified}],
        }
        return self._envelope(
            {
                "category": "AuditLogs",
                "operationName": "Create MobileAppAssignment",
                "resultType": "Success",
                "identity": UPN,
                "properties": properties,
            }
        )

    def a_risk(self) -> bytes:
        row = {"Timestamp": now(), "Type": "User", "RiskLevel": "High", "AccountUpn": UPN}
        return self._envelope({"category": "AdvancedHunting-IdentityInfo", "properties": row})

    def _envelope(self, record: dict[str, Any]) -> bytes:
        return json.dumps(
            {"records": [{"time": now(), "tenantId": self.tenant, **record}]}
        ).encode()

    def alerts(self) -> list[dict[str, Any]]:
        """Return what a reader of committed records sees of this tenant's alerts, in order."""
        values = [json.loads(one) for one in committed(self.client, ALERTS)]
        return [one for one in values if one["tenant_id"] == self.tenant]

    async def fence(self) -> None:
        """Take every partition of the alerts over, as a worker of the same application would."""
        for partition in range(partition_counts(self.client)[ALERTS]):
            log = await KafkaAlerts.open(
                partition, client=self.client, application=self.application
            )
            log.close()

    def dead_letters(self) -> list[bytes]:
        return committed(self.client, dlq_of(self.audit))


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def committed(client: dict[str, str], topic: str) -> list[bytes]:
    consumer = Consumer(
        {
            **client,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "log_level": "0",
        }
    )
    partitions = range(partition_counts(client)[topic])
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    values, ended = [], 0
    while ended < len(partitions):
        message = consumer.poll(10)
        assert message is not None
        error = message.error()
        if error is None:
            values.append(message.value() or b"")
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            ended += 1
    consumer.close()
    return values


def until(holds: Callable[[], bool], within: float = 30) -> float:
    """Wait for a condition; return how long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within, "did not come to hold in time"
        time.sleep(0.1)
    return time.monotonic() - began


class Worker:
    """A worker process, which ends with the test."""

    def __init__(self, place: Place, logs: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = logs / f"worker-{self.port}.log"
        self._sink = self.log.open("wb")
        self.process = subprocess.Popen(
            COMMAND, cwd=REPO, env=place.environment(self.port), stderr=self._sink
        )

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self.get("/readyz")[0] == 200

    def metric(self, name: str, of: str = "") -> float:
        lines = self.get("/metrics")[1].splitlines()
        return sum(
            float(line.split()[-1]) for line in lines if line.startswith(name) and of in line
        )

    def ends_within(self, seconds: float) -> int:
        return self.process.wait(seconds)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._sink.close()


@pytest.fixture
def place(stack: Addresses, prefix: str) -> Place:
    return Place(stack, prefix).create_topics()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Place], Worker]]:
    started: list[Worker] = []

    def start_one(place: Place) -> Worker:
        worker = Worker(place, tmp_path)
        started.append(worker)
        return worker

    yield start_one
    for worker in started:
        worker.end()


Start = Callable[[Place], Worker]


def test_a_delegated_admins_assignment_is_an_alert_and_a_later_risk_its_second_revision(
    place: Place, start: Start
) -> None:
    worker = start(place)
    until(worker.is_ready)

    place.send(place.audit, place.an_assignment("event-1", is_delegated_admin=True))
    until(lambda: len(place.alerts()) == 1)
    place.send(place.identity_info, place.a_risk())
    until(lambda: len(place.alerts()) == 2)

    first, second = place.alerts()
    assert (first["revision"], first["reasons"]) == (1, ["delegated_admin"])
    assert (second["revision"], second["reasons"]) == (2, ["user_risk", "delegated_admin"])
    assert first["alert_id"] == second["alert_id"]
    assert [one["topic"] for one in second["sources"]] == [place.audit, place.identity_info]


def test_an_alert_says_how_fresh_its_sources_are_and_a_quiet_source_is_told(
    stack: Addresses, prefix: str, start: Start
) -> None:
    place = Place(stack, prefix, settings={"MASSWATCH_WORKER__QUIET_AFTER": "2"}).create_topics()
    worker = start(place)
    until(worker.is_ready)
    sieved = place.a_risk().replace(b"High", b"None")

    place.send(place.identity_info, sieved)
    until(lambda: worker.metric("masswatch_source_read_to", of="identity_info") > 0)
    until(lambda: worker.metric("masswatch_source_last_record", of="identity_info") > 0)
    place.send(place.audit, place.an_assignment("event-1", is_delegated_admin=True))
    until(lambda: len(place.alerts()) == 1)

    (alert,) = place.alerts()
    of_risk, of_behaviors = (
        alert["freshness"][source] for source in ("identity_info", "behavior_entities")
    )
    assert max(of_risk["last_record_at"], of_risk["read_to"]) < alert["detected_at"]
    assert of_risk["latest_fact_time"] is None
    assert of_behaviors["last_record_at"] is None
    assert of_behaviors["read_to"] is not None

    until(lambda: place.behavior_entities in quiet_topics(worker))


def quiet_topics(worker: Worker) -> list[str]:
    logs = (json.loads(line) for line in worker.log.read_text().splitlines())
    return [topic for one in logs if one["event"] == "source.quieted" for topic in one["topics"]]


def test_told_to_stop_a_worker_ends_at_once_and_has_committed(place: Place, start: Start) -> None:
    worker = start(place)
    until(worker.is_ready)
    place.send(place.audit, place.an_assignment("event-1", is_delegated_admin=True))
    until(lambda: len(place.alerts()) == 1)

    worker.process.send_signal(signal.SIGTERM)

    assert worker.ends_within(5) == 0
    successor = start(place)
    until(successor.is_ready)
    assert successor.metric("masswatch_records_handled_total", of=place.audit) == 0


def test_a_poisoned_record_goes_to_the_dlq_and_its_neighbours_pass(
    place: Place, start: Start
) -> None:
    poison = json.loads(place.an_assignment("poison"))
    poison["records"][0]["properties"] = "{not JSON"
    poisoned = json.dumps(poison).encode()
    worker = start(place)
    until(worker.is_ready)

    place.send(
        place.audit,
        place.an_assignment("before", is_delegated_admin=True),
        poisoned,
        b"\xff MobileAppAssignment \x00",
        place.an_assignment("after", is_delegated_admin=True),
    )
    until(lambda: len(place.alerts()) == 2)
    until(lambda: len(place.dead_letters()) == 2)

    assert {one["audit_event_id"] for one in place.alerts()} == {"before", "after"}
    assert set(place.dead_letters()) == {poisoned, b"\xff MobileAppAssignment \x00"}
    assert worker.metric("masswatch_records_dead_lettered_total") == 2
    assert worker.metric("masswatch_records_handled_total", of=place.audit) == 2
    fetched, sieved, opened = (
        worker.metric(f"masswatch_values_{fate}_total", of=place.audit)
        for fate in ("fetched", "sieved", "opened")
    )
    assert fetched == sieved + opened == 4


def test_of_two_workers_one_is_killed_and_nothing_is_lost(place: Place, start: Start) -> None:
    killed, survivor = start(place), start(place)
    until(lambda: killed.is_ready() and survivor.is_ready(), within=60)
    events = [f"event-{number}" for number in range(300)]

    for number, event in enumerate(events):
        place.send(place.audit, place.an_assignment(event, is_delegated_admin=True))
        if number == 150:
            killed.process.kill()
    until(lambda: len({one["audit_event_id"] for one in place.alerts()}) == 300, within=60)

    assert [one["revision"] for one in place.alerts()] == [1] * 300
    survivor.process.send_signal(signal.SIGTERM)
    assert survivor.ends_within(20) == 0


def test_a_fenced_worker_takes_its_partitions_over_anew_and_publishes(
    place: Place, start: Start
) -> None:
    worker = start(place)
    until(worker.is_ready)
    asyncio.run(place.fence())

    place.send(place.audit, place.an_assignment("event-1", is_delegated_admin=True))
    until(lambda: len(place.alerts()) == 1, within=60)

    assert worker.metric("masswatch_ownership_lost_total") == 1
    assert worker.process.poll() is None


def test_without_topics_a_worker_does_not_start(
    stack: Addresses, prefix: str, start: Start
) -> None:
    worker = start(Place(stack, prefix))

    assert worker.ends_within(30) == 3
    assert f"topic {prefix}audit: does not exist: run masswatch topics apply" in (
        worker.log.read_text()
    )


def test_without_a_broker_a_worker_does_not_start(prefix: str, start: Start) -> None:
    nowhere = Addresses("127.0.0.1:1", "redis://127.0.0.1:1/0")

    assert start(Place(nowhere, prefix)).ends_within(30) == 4


def test_while_redis_is_away_a_worker_holds_and_then_goes_on(
    own_stack: Stack, prefix: str, start: Start
) -> None:
    place = Place(own_stack, prefix).create_topics()
    worker = start(place)
    until(worker.is_ready)
    os.kill(own_stack.redis.pid, signal.SIGTERM)
    until(lambda: worker.get("/readyz")[0] == 503)

    place.send(place.audit, place.an_assignment("meanwhile", is_delegated_admin=True))
    until(lambda: worker.metric("masswatch_waiting") == 1)
    assert worker.get("/healthz")[0] == 200
    up(own_stack.folder)

    until(lambda: len(place.alerts()) == 1)
    until(lambda: worker.metric("masswatch_waiting") == 0)
    assert worker.process.poll() is None


def test_while_redis_refuses_to_write_a_worker_says_that_it_is_not_ready(
    own_stack: Stack, prefix: str, start: Start
) -> None:
    place = Place(own_stack, prefix).create_topics()
    worker = start(place)
    until(worker.is_ready)
    with redis.Redis.from_url(own_stack.redis_url) as client:
        client.config_set("maxmemory", "1")

        place.send(place.audit, place.an_assignment("meanwhile", is_delegated_admin=True))
        until(lambda: "a batch is held" in worker.get("/readyz")[1])
        assert worker.get("/healthz")[0] == 200
        client.config_set("maxmemory", "0")

    until(lambda: len(place.alerts()) == 1)
    until(worker.is_ready)


def test_told_to_stop_a_worker_ends_in_20_seconds_though_the_broker_is_frozen(
    own_stack: Stack, prefix: str, start: Start
) -> None:
    place = Place(own_stack, prefix).create_topics()
    worker = start(place)
    until(worker.is_ready)
    place.send(place.audit, place.an_assignment("event-1", is_delegated_admin=True))
    os.kill(own_stack.kafka.pid, signal.SIGSTOP)

    worker.process.send_signal(signal.SIGTERM)

    worker.ends_within(20)


def test_told_to_stop_a_worker_ends_in_20_seconds_though_the_broker_is_dead(
    own_stack: Stack, prefix: str, start: Start
) -> None:
    place = Place(own_stack, prefix).create_topics()
    worker = start(place)
    until(worker.is_ready)
    os.kill(own_stack.kafka.pid, signal.SIGKILL)
    until(lambda: "lease.lapsed" in worker.log.read_text())

    worker.process.send_signal(signal.SIGTERM)

    worker.ends_within(20)
