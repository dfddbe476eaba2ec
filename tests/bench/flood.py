"""Flood: nothing but mass assignments of risky admins, each of which must become an alert."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from redis import Redis

from pipeline.core.errors import MasswatchError
from pipeline.core.evaluate import evaluate
from pipeline.core.event_time import EventTime
from pipeline.core.model import Assignment, Fact, Risk
from pipeline.core.policy import Policy
from pipeline.demo.fleet import Worker, until
from pipeline.localstack import Addresses
from pipeline.simulate.audit_records import (
    ALL_DEVICES,
    AuditEvent,
    Form,
    actor_of,
    assignment_target,
    audit_record,
    target_of,
)
from pipeline.simulate.defender_records import IdentityRow, Shape, account_of, identity_record
from pipeline.simulate.dice import dice, guid
from pipeline.simulate.moments import HOUR, later
from pipeline.simulate.tenants import Person
from pipeline.sources.decode import Decoder
from pipeline.wiring import clock
from topics.catalogue import ALERTS, EVALUATIONS

from . import topic
from .measure import cpu_of
from .records import PARTITIONS
from .topic import HeldBack

TENANTS: Final = 300
ADMINS_A_TENANT: Final = 10

_APP: Final = "Remote Helper 1.0"
_RISK_TOPIC: Final = "defender.identity-info.v1"
_PRODUCER: Final = {"acks": "all", "linger.ms": "20", "log_level": "0"}
_DECODED_WITHIN: Final = 60.0
_QUIET_AFTER: Final = 30.0
_SECONDS_AT_MOST: Final = 600.0


@dataclass(frozen=True, slots=True)
class Flooded:
    """What became of one flood.

    Attributes:
        alerts: How many there were, as many as there had to be.
        seconds: From the release of the assignments until the last alert was readable.
        cpu_seconds: Of the worker, all of its threads, in that time.
        redis_cpu_seconds: Of the server, likewise.
        commands: Calls of each command of Redis; they are those of all that speak to it.
        reads: How often the server of Redis has read from its connections.
        batches: Batches that each agent has acknowledged.
    """

    alerts: int
    seconds: float
    cpu_seconds: float
    redis_cpu_seconds: float
    commands: Mapping[str, int]
    reads: int
    batches: Mapping[str, int]

    @property
    def per_second(self) -> float:
        """Alerts per second of time."""
        return self.alerts / self.seconds

    @property
    def cpu_micros(self) -> float:
        """Microseconds of the worker's CPU per alert."""
        return self.cpu_seconds / self.alerts * 1e6


@dataclass(frozen=True, slots=True)
class Flood:
    """Risk rows of admins, and assignments of theirs, each another event; all for one alert each.

    Attributes:
        risks: One row for each admin.
        assignments: The events; the admins take turns.
        digests: What the batch evaluation says, by alert id.
    """

    risks: tuple[bytes, ...]
    assignments: tuple[bytes, ...]
    digests: Mapping[str, str]

    def stream(self) -> Iterator[tuple[int, bytes]]:
        """Yield the assignments with their partitions."""
        for number, value in enumerate(self.assignments):
            yield number % PARTITIONS, value


def flood_of(count: int, now: EventTime) -> Flood:
    """Draw a flood of so many assignments, and judge it."""
    chance = dice("flood")
    admins = [
        (guid_of_tenant, Person(f"admin{number}@{name}.example.org", guid(chance), f"A {number}"))
        for guid_of_tenant, name in ((guid(chance), f"t{number}") for number in range(TENANTS))
        for number in range(ADMINS_A_TENANT)
    ]
    chance.shuffle(admins)
    risks = tuple(
        identity_record(
            IdentityRow(tenant_id, later(now, -HOUR), account_of(person), "High"),
            Shape.STREAMED,
            chance,
        )
        for tenant_id, person in admins
    )
    assignments = tuple(
        _assignment(*admins[number % len(admins)], guid(chance), guid(chance), later(now, number))
        for number in range(count)
    )
    return Flood(risks, assignments, _digests(risks, assignments))


def rounds(addresses: Addresses, logs: Path, alerts: int, repeats: int) -> Iterator[Flooded]:
    """Yield what became of so many floods, each through a worker and topics of its own."""
    for number in range(repeats):
        yield _round(addresses, logs, flood_of(alerts, clock()), f"bench.flood.{number}")


def _round(addresses: Addresses, logs: Path, flood: Flood, audit: str) -> Flooded:
    client = {"bootstrap.servers": addresses.bootstrap_servers}
    topic.create(client, audit)
    worker = Worker(
        {
            "KAFKA__BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
            "KAFKA__APPLICATION_ID": audit,
            "KAFKA__TOPICS__AUDIT": audit,
            "REDIS__URL": addresses.redis_url,
            "REDIS__NAMESPACE": audit,
        },
        logs / f"{audit}.log",
    )
    try:
        held = HeldBack(client, audit, flood, "none")
        until(worker.is_ready, "worker ready", 60.0)
        _send(client, flood.risks)
        until(lambda: _handled(worker, "risk") == len(flood.risks), "risks", _DECODED_WITHIN)
        with Redis.from_url(addresses.redis_url) as redis, _Arriving(client) as arriving:
            flooded = _measured(worker, held, len(flood.digests), redis, arriving)
        worker.stop()
        _check(_all_of(client), flood.digests)
        return flooded
    finally:
        worker.stop()
        for name in (audit, _RISK_TOPIC, EVALUATIONS, ALERTS):
            topic.delete(client, name)


def _measured(
    worker: Worker, held: HeldBack, alerts: int, redis: Redis, arriving: "_Arriving"
) -> Flooded:
    before = _Counted.of(worker, redis)
    began = time.perf_counter()
    held.release()
    ended = arriving.wait_for(alerts)
    after = _Counted.of(worker, redis)
    return Flooded(
        alerts=alerts,
        seconds=ended - began,
        cpu_seconds=after.cpu - before.cpu,
        redis_cpu_seconds=after.redis_cpu - before.redis_cpu,
        commands=dict(Counter(after.commands) - Counter(before.commands)),
        reads=after.reads - before.reads,
        batches=dict(Counter(after.batches) - Counter(before.batches)),
    )


@dataclass(frozen=True, slots=True)
class _Counted:
    cpu: float
    redis_cpu: float
    commands: Mapping[str, int]
    reads: int
    batches: Mapping[str, int]

    @classmethod
    def of(cls, worker: Worker, redis: Redis) -> Self:
        said: dict[str, Any] = redis.info("commandstats", "stats", "cpu")
        return cls(
            cpu=cpu_of(worker.pid),
            redis_cpu=float(said["used_cpu_sys"]) + float(said["used_cpu_user"]),
            commands={
                name.removeprefix("cmdstat_"): int(one["calls"])
                for name, one in said.items()
                if name.startswith("cmdstat_")
            },
            reads=int(said["total_reads_processed"]),
            batches={
                name.partition('agent="')[2].partition('"')[0]: int(value)
                for name, value in worker.metrics().items()
                if name.startswith("masswatch_batches_total") and 'end="acknowledged"' in name
            },
        )


class _Arriving:
    """Counts alerts as they become readable, in a thread."""

    def __init__(self, client: Mapping[str, str]) -> None:
        self._count = 0
        self._consumer, _ = _consumer(client)
        self._last_at = time.perf_counter()
        self._closed = threading.Event()
        self._reading = threading.Thread(target=self._read, name="alerts", daemon=True)

    def __enter__(self) -> Self:
        self._reading.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._reading.join()
        self._consumer.close()

    def wait_for(self, count: int) -> float:
        """Wait until so many have been read; return when the last was."""
        until(lambda: self._count >= count or self._is_quiet(), "alerts", _SECONDS_AT_MOST)
        if self._count < count:
            raise MasswatchError(f"{ALERTS}: {self._count} of {count}, and no more came")
        return self._last_at

    def _is_quiet(self) -> bool:
        return time.perf_counter() - self._last_at > _QUIET_AFTER

    def _read(self) -> None:
        while not self._closed.is_set():
            alerts = [one for one in self._consumer.consume(2000, 0.02) if one.error() is None]
            if alerts:
                self._count += len(alerts)
                self._last_at = time.perf_counter()


def _consumer(client: Mapping[str, str]) -> tuple[Consumer, int]:
    """Return a consumer of all committed alerts, and how many partitions they have."""
    consumer = Consumer(
        {
            **client,
            "group.id": "bench.flood.reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": "50",
        }
    )
    partitions = consumer.list_topics(ALERTS, timeout=10).topics[ALERTS].partitions
    consumer.assign([TopicPartition(ALERTS, one, OFFSET_BEGINNING) for one in partitions])
    return consumer, len(partitions)


def _all_of(client: Mapping[str, str]) -> list[bytes]:
    """Read every alert to the ends of the topic."""
    consumer, to_end = _consumer(client)
    values: list[bytes] = []
    while to_end:
        message = consumer.poll(_QUIET_AFTER)
        if message is None:
            raise MasswatchError(f"{ALERTS}: {to_end} partitions not read to their ends")
        if message.error() is None:
            values.append(message.value() or b"{}")
        else:
            to_end -= 1
    consumer.close()
    return values


def _check(alerts: list[bytes], digests: Mapping[str, str]) -> None:
    """See that every alert is there once, as revision 1, and says what the batch says.

    Raises:
        MasswatchError: it is not so.
    """
    read = [orjson.loads(one) for one in alerts]
    wrong = [one for one in read if digests.get(one["alert_id"]) != one["digest"]]
    later_ones = [one for one in read if one["revision"] != 1]
    missing = digests.keys() - {one["alert_id"] for one in read}
    if missing or wrong or later_ones or len(read) != len(digests):
        raise MasswatchError(
            f"{ALERTS}: {len(read)} of {len(digests)}, {len(missing)} missing, {len(wrong)} wrong, "
            f"{len(later_ones)} of later revisions"
        )


def _digests(risks: tuple[bytes, ...], assignments: tuple[bytes, ...]) -> dict[str, str]:
    policy, decode = Policy(), Decoder()
    by_admin = {
        (one.tenant_id, one.upn): one
        for one in (_fact(decode, each) for each in risks)
        if isinstance(one, Risk)
    }
    verdicts = (
        evaluate([one], [by_admin[one.tenant_id, one.identity]], policy)
        for one in (_fact(decode, each) for each in assignments)
        if isinstance(one, Assignment)
    )
    return {one.alert_id: one.digest for one in verdicts}


def _fact(decode: Decoder, value: bytes) -> Fact:
    [record] = decode(value)
    assert isinstance(record.decoded, Assignment | Risk)
    return record.decoded


def _assignment(
    tenant_id: str, admin: Person, audit_event_id: str, correlation_id: str, moment: EventTime
) -> bytes:
    return audit_record(
        AuditEvent(
            tenant_id=tenant_id,
            time=moment,
            operation="Create MobileAppAssignment",
            audit_event_id=audit_event_id,
            correlation_id=correlation_id,
            identity=admin.upn,
            category=5,
            actor=actor_of(admin.upn, admin.object_id),
            targets=[target_of(_APP), assignment_target(ALL_DEVICES, "Required", "")],
            target_object_ids=[correlation_id],
            target_display_names=[_APP],
        ),
        Form.OBJECT,
    )


def _send(client: Mapping[str, str], risks: tuple[bytes, ...]) -> None:
    producer = Producer({**client, **_PRODUCER})
    for one in risks:
        producer.produce(_RISK_TOPIC, one)
        producer.poll(0)
    producer.flush(_DECODED_WITHIN)


def _handled(worker: Worker, kind: str) -> int:
    return int(
        sum(
            value
            for name, value in worker.metrics().items()
            if name.startswith("masswatch_records_handled_total") and f'kind="{kind}"' in name
        )
    )
