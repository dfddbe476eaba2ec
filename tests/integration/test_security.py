"""A worker and the commands where nobody is let in unknown, each with its documented rights."""

import asyncio
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from builders import actor_object, audit_properties, audit_record, envelope
from confluent_kafka import Message
from guarded import (
    CONNECTION_STRING,
    EVENT_HUBS_USER,
    KEY_PASSWORD,
    Certificates,
    GuardedKafka,
    GuardedRedis,
)
from kafka_topic import KafkaTopic, Put
from rights import ADMIN, ANALYST, READER, REDIS, REDRIVER, REPLAYER, ROLES, SOURCE, WORKER, Role

from pipeline.adapters.alert_reader import AlertReader
from pipeline.adapters.kafka_alerts import KafkaAlerts
from pipeline.adapters.kafka_deliveries import Deliveries, Outgoing
from pipeline.adapters.kafka_metadata import partition_counts
from pipeline.adapters.kafka_producer import KafkaProducer
from pipeline.adapters.kafka_slice import freeze
from pipeline.cli import run
from pipeline.config import PREFIX, KafkaSettings
from pipeline.core.errors import BrokerRefuses
from pipeline.demo.fleet import READY_WITHIN, Worker, until
from pipeline.reader.connection import connect, disconnect
from pipeline.reader.settings import ReaderSettings
from pipeline.reader.sifting import Sifter
from pipeline.slices.offsets import Offsets
from pipeline.sources.sieve import Sieve
from topics.alert import Alert
from topics.catalogue import ALERTS, EVALUATIONS, dlq_of

pytestmark = pytest.mark.stack

AUDIT: Final = "intune.audit.v1"
REDIS_PASSWORD: Final = "redis-pass-93ab"  # noqa: S105 - a test's
DEFAULT_PASSWORD: Final = "redis-default-77c0"  # noqa: S105 - the same
WRONG: Final = "wrong-pass-51e2"


class Site:
    """Both servers, with one user for each role and for the worker in Redis."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.certificates = Certificates(folder).write()
        self.kafka = GuardedKafka(folder / "kafka", self.certificates)
        self.redis = GuardedRedis(folder / "redis", self.certificates, DEFAULT_PASSWORD)
        self.redis.add_user("worker", REDIS_PASSWORD, REDIS)
        for role in ROLES:
            self.kafka.add_user(user_of(role), password_of(role), role.bindings(user_of(role)))

    def stop(self) -> None:
        self.redis.stop()
        self.kafka.stop()

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that nobody may read anywhere."""
        return (
            *(password_of(role) for role in ROLES),
            REDIS_PASSWORD,
            DEFAULT_PASSWORD,
            WRONG,
            KEY_PASSWORD,
            CONNECTION_STRING,
        )

    def settings(self, role: Role) -> dict[str, str]:
        """The settings of a process that runs in a role."""
        return {
            "KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA__USERNAME": user_of(role),
            "KAFKA__PASSWORD": password_of(role),
            "KAFKA__CA_FILE": str(self.certificates.authority),
            "REDIS__URL": self.redis.url,
            "REDIS__USERNAME": "worker",
            "REDIS__PASSWORD": REDIS_PASSWORD,
            "REDIS__CA_FILE": str(self.certificates.authority),
        }

    def client(self, role: Role) -> dict[str, str]:
        """What librdkafka is told in a role."""
        return KafkaSettings(
            bootstrap_servers=self.kafka.bootstrap_servers,
            security_protocol="SASL_SSL",
            username=user_of(role),
            password=password_of(role),
            ca_file=self.certificates.authority,
        ).client()


def user_of(role: Role) -> str:
    return role.name.replace(" ", "-")


def password_of(role: Role) -> str:
    return f"pass-{user_of(role)}-20c4e"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("guarded"))
    try:
        with pytest.MonkeyPatch.context() as patch:
            become(ADMIN, site, patch)
            assert run(["topics", "apply"]) == 0
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def worker(site: Site) -> Iterator[Worker]:
    """A worker that has seen an assignment that is an alert, and a record nobody can read."""
    worker = Worker(site.settings(WORKER) | {"LOG__LEVEL": "debug"}, site.folder / "worker.log")
    try:
        until(worker.is_ready, "the worker is ready", READY_WITHIN)
        delegated = audit_properties(Actor=actor_object(IsDelegatedAdmin=True))
        with KafkaProducer(site.client(SOURCE)) as producer:
            producer.send(AUDIT, envelope(audit_record(properties=delegated)))
            producer.send(AUDIT, envelope(audit_record(time="soon")))
        until(lambda: bool(alerts(site)), "an alert is published", 20)
        letters = KafkaTopic(dlq_of(AUDIT), site.kafka.everything)
        until(lambda: bool(letters.messages()), "a dead letter is written", 20)
        yield worker
    finally:
        worker.stop()


def become(role: Role, site: Site, patch: pytest.MonkeyPatch, **instead: str) -> None:
    for name, value in (site.settings(role) | instead).items():
        patch.setenv(PREFIX + name, value)


def alerts(site: Site) -> list[Alert]:
    with AlertReader(site.client(READER)) as reader:
        return reader.to_the_end()


def headers(messages: list[Message]) -> str:
    return "".join(str(one.headers()) for one in messages)


def test_a_worker_with_its_documented_rights_publishes_what_a_mere_reader_reads(
    site: Site, worker: Worker
) -> None:
    (alert,) = alerts(site)

    assert alert.reasons == ("delegated_admin",)
    assert worker.is_ready()
    with pytest.raises(BrokerRefuses, match=f"topic {AUDIT}: Describe is not allowed"):
        freeze(site.client(READER), [AUDIT])


def test_no_secret_is_in_what_a_worker_writes(site: Site, worker: Worker) -> None:
    said = [worker.log.read_text()]
    for page in ("metrics", "readyz", "healthz"):
        with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/{page}", timeout=5) as answer:
            said.append(answer.read().decode())
    for topic in (ALERTS, EVALUATIONS, dlq_of(AUDIT)):
        messages = KafkaTopic(topic, site.kafka.everything).messages()
        assert messages
        said += [headers(messages), *((one.value() or b"").decode() for one in messages)]

    assert "worker.started" in said[0]
    assert not [secret for secret in site.secrets if any(secret in text for text in said)]


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("role", "command", "shown"),
    [
        (ANALYST, ["backtest", "--against", "live", "--processes", "2"], "against live: equal"),
        (ANALYST, ["why", "--tenant", "{tenant}", "--event", "{event}"], "alert, low"),
        (ANALYST, ["dlq", "list"], "no readable event time"),
        (REDRIVER, ["dlq", "redrive", "--all", "--even-if-refused"], "1        1            1"),
        (REPLAYER, ["replay", "--topic", AUDIT, "--prefix", "again.", "--create"], "again."),
        (ADMIN, ["topics", "diff"], "nothing differs"),
        (WORKER, ["rebuild"], "namespace"),
        (WORKER, ["doctor"], "this user may read and write what a worker does"),
    ],
    ids=lambda one: " ".join(one[:2]) if isinstance(one, list) else "",
)
def test_a_command_needs_no_more_than_the_documented_rights(
    site: Site,
    role: Role,
    command: list[str],
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    become(role, site, monkeypatch)
    (alert, *_) = alerts(site)
    event = alert.audit_event_id
    arguments = [one.format(tenant=alert.tenant_id, event=event) for one in command]

    code = run(arguments)

    said = "".join(capfd.readouterr())
    assert (code, shown in said) == (0, True), said
    assert not [secret for secret in site.secrets if secret in said]


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ({"KAFKA__PASSWORD": WRONG}, "refuses mechanism, user or password"),
        ({"KAFKA__CA_FILE": "stranger.pem"}, "no TLS connection"),
        ({"REDIS__PASSWORD": WRONG}, "correct MASSWATCH_REDIS__USERNAME"),
        ({"REDIS__CA_FILE": "stranger.pem"}, "look at MASSWATCH_REDIS__CA_FILE"),
        ({"KAFKA__APPLICATION_ID": "other"}, "Read is not allowed to this user"),
        ({"KAFKA__TOPICS__AUDIT": "secret.v1"}, "topic secret.v1: Describe is not allowed"),
    ],
    ids=[
        "kafka password",
        "kafka authority",
        "redis password",
        "redis authority",
        "group",
        "topic",
    ],
)
def test_a_worker_that_is_not_let_in_says_what_to_correct_and_no_secret(
    site: Site, tmp_path: Path, instead: dict[str, str], said: str
) -> None:
    files = {
        name: str(site.folder / value) for name, value in instead.items() if value.endswith(".pem")
    }
    worker = Worker(site.settings(WORKER) | instead | files, tmp_path / "worker.log")

    code = worker.wait(40)

    log = worker.log.read_text()
    assert (code, said in log) == (3, True), log
    assert "Traceback (most recent" not in log.rpartition("}")[2]
    assert not [secret for secret in site.secrets if secret in log]


def test_a_write_that_is_not_allowed_names_topic_and_operation(site: Site) -> None:
    async def write() -> None:
        deliveries = Deliveries(site.client(READER))
        try:
            await deliveries.send([Outgoing(ALERTS, b"{}", b"key")])
        finally:
            await deliveries.close()

    with pytest.raises(BrokerRefuses, match=f"topic {ALERTS}: Write is not allowed"):
        asyncio.run(write())


def test_a_transactional_id_that_is_not_allowed_is_named(site: Site) -> None:
    opening = KafkaAlerts.open(0, client=site.client(READER), application="other")

    with pytest.raises(BrokerRefuses, match="transactional id other-0: Write is not allowed"):
        asyncio.run(opening)


def test_an_alerts_topic_that_may_not_be_written_is_named_at_the_take_over(site: Site) -> None:
    half = Role("half a worker", "", "Read: alerts; Write: transactional id `masswatch-*`")
    site.kafka.add_user(user_of(half), password_of(half), half.bindings(user_of(half)))
    opening = KafkaAlerts.open(0, client=site.client(half), application="masswatch")

    with pytest.raises(BrokerRefuses, match=f"topic {ALERTS}: Write is not allowed"):
        asyncio.run(opening)


@pytest.mark.parametrize("way", ["event hubs", "certificate"])
def test_both_clients_are_let_in_as(site: Site, way: str) -> None:
    if way == "event hubs":
        user = EVENT_HUBS_USER
        kafka = KafkaSettings(
            bootstrap_servers=site.kafka.bootstrap_servers,
            security_protocol="SASL_SSL",
            sasl_mechanism="PLAIN",
            username=user,
            password=CONNECTION_STRING,
            ca_file=site.certificates.authority,
        )
    else:
        user = "client"
        kafka = KafkaSettings(
            bootstrap_servers=site.kafka.by_certificate,
            security_protocol="SSL",
            ca_file=site.certificates.authority,
            cert_file=site.certificates.client,
            key_file=site.certificates.client_key,
            key_password=KEY_PASSWORD,
        )
    site.kafka.allow(WORKER.bindings(user))
    reading = ReaderSettings(kafka.bootstrap_servers, "masswatch.audit", client=kafka.aiokafka())

    async def read() -> None:
        await disconnect(await connect(reading, [AUDIT], Sifter(None, 1)), within=5)

    asyncio.run(read())
    # Larger than one record of TLS and than the buffer of a connection.
    large = KafkaTopic(AUDIT, site.kafka.everything)
    before = len(large.messages())
    large.put(*(Put(b"MobileAppAssignment".ljust(200_000, b".")) for _ in range(20)))
    ranges = freeze(kafka.client(), [AUDIT]).ranges
    chunks = list(Offsets(ranges, kafka.client()).chunks(Sieve()))

    assert sum(map(len, chunks)) == before + 20
    values = [one.value or b"" for chunk in chunks for one in chunk]
    assert len([one for one in values if len(one) == 200_000]) >= 20
    assert AUDIT in partition_counts(kafka.client(), [AUDIT])
    assert not [secret for secret in site.secrets if secret in repr((kafka, reading))]
