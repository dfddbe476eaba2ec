"""`masswatch doctor` on a real Kafka and Redis: what it finds, and that it writes nothing."""

import io
import json
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka_topic import NOON, KafkaTopic, Put
from redis import Redis

from pipeline.adapters.kafka_admin import apply
from pipeline.adapters.kafka_first_times import first_times
from pipeline.adapters.kafka_groups import Groups
from pipeline.adapters.kafka_look import look_at_kafka
from pipeline.adapters.kafka_metadata import partition_counts
from pipeline.adapters.kafka_standing import KafkaStanding, Offsets, Place
from pipeline.cli import run
from pipeline.config import PREFIX
from pipeline.core.errors import ConfigError
from pipeline.demo.fleet import READY_WITHIN, Worker, until
from pipeline.localstack import Addresses, Stack, down, up
from topics.catalogue import Sources, catalogue

pytestmark = pytest.mark.stack

NOBODY: Final = "127.0.0.1:1"
KINDS: Final = ("audit", "identity_info", "behavior_entities", "graph_activity")
EVERY_COMMAND: Final = (
    "~{0}.* ~{{{0}}}/* +get +set +del +unlink +rename +scan +info +hsetnx +hgetall +sadd "
    "+smembers +expire +client|setinfo"
)

Document = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """Sources, groups and a namespace that no other test has."""

    settings: Mapping[str, str]
    client: Mapping[str, str]
    prefix: str

    def put(self, count: int) -> None:
        """Append values that are ignored to one partition of the audit events."""
        KafkaTopic(self.prefix + "audit", self.client).put(*[Put(b"{}")] * count)

    def lag(self) -> int:
        """Tell how far the audit agent is behind."""
        return Groups(self.client).lag(f"{self.prefix}.audit", [self.prefix + "audit"])


def a_site(addresses: Addresses) -> Site:
    prefix = f"t{uuid.uuid4().hex[:10]}"
    topics = {f"KAFKA__TOPICS__{kind.upper()}": prefix + kind for kind in KINDS}
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
        "KAFKA__APPLICATION_ID": prefix,
        "REDIS__URL": addresses.redis_url,
        "REDIS__NAMESPACE": prefix,
        "HTTP__PORT": "1",
        **topics,
    }
    return Site(settings, {"bootstrap.servers": addresses.bootstrap_servers}, prefix)


@dataclass(frozen=True)
class Course:
    """What was found on a stack from its beginning to when a worker has read all and has ended.

    `left` is what the first examination left behind: topics, and the number of keys.
    """

    stack: Stack
    site: Site
    when_empty: Document
    left: tuple[Mapping[str, int], object]
    while_it_ran: Document


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    folder = tmp_path_factory.mktemp("doctor")
    try:
        yield the_course(up(folder / "stack"), folder)
    finally:
        down(folder / "stack")


def the_course(stack: Stack, folder: Path) -> Course:
    site = a_site(stack)
    when_empty = examined(site)
    with closing(Redis.from_url(stack.redis_url)) as redis:
        left = partition_counts(site.client), redis.dbsize()
    sources = Sources(*((site.prefix + kind,) for kind in KINDS))
    apply(catalogue(sources), site.client, replication=1)
    site.put(3)
    worker = Worker(site.settings, folder / "worker.log")
    try:
        until(worker.is_ready, "worker ready", READY_WITHIN)
        until(lambda: site.lag() == 0, "all read", 20)
        while_it_ran = examined(site, "--worker", f"http://127.0.0.1:{worker.port}")
    finally:
        worker.stop()
    return Course(stack, site, when_empty, left, while_it_ran)


@pytest.fixture
def read(course: Course) -> Site:
    """A site whose worker has read all and has ended."""
    return course.site


@pytest.fixture
def site(course: Course) -> Site:
    """A site of which there is nothing yet."""
    return a_site(course.stack)


def examined(site: Site, *arguments: str, **settings: str) -> Document:
    """Run the command with the settings of a site; return what it printed for a program."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        for name, value in {**site.settings, **settings}.items():
            patch.setenv(PREFIX + name, value)
        code = run(["doctor", *arguments, "--output", "json"])
    document: Document = json.loads(out.getvalue())
    assert document["exit_code"] == code
    return document


def found(document: Document, area: str, *levels: str) -> list[dict[str, str]]:
    return [
        one
        for one in document["findings"]
        if one["area"] == area and (not levels or one["level"] in levels)
    ]


@contextmanager
def a_user(site: Site, *rights: str) -> Iterator[str]:
    """Make a user of Redis; yield the url with it."""
    with closing(Redis.from_url(site.settings["REDIS__URL"])) as admin:
        admin.execute_command("ACL", "SETUSER", site.prefix, "on", ">secret", *rights)  # type: ignore[no-untyped-call]
        try:
            yield site.settings["REDIS__URL"].replace("//", f"//{site.prefix}:secret@")
        finally:
            admin.execute_command("ACL", "DELUSER", site.prefix)  # type: ignore[no-untyped-call]


def least(site: Site, *, but: str = "") -> list[str]:
    return [one for one in EVERY_COMMAND.format(site.prefix).split() if one != but]


def test_an_empty_cluster_and_an_empty_redis_stay_empty(course: Course) -> None:
    assert course.left == ({}, 0)
    assert found(course.when_empty, "topics", "fault")
    assert found(course.when_empty, "store", "fault")
    assert course.when_empty["exit_code"] == 1


def test_while_a_worker_runs_nothing_is_wrong(course: Course) -> None:
    document = course.while_it_ran

    assert not [one for one in document["findings"] if one["level"] == "fault"]
    assert document["exit_code"] == 0
    for area in ("settings", "broker", "topics", "groups", "lag", "redis", "store", "worker"):
        assert found(document, area, "ok"), area
        assert not found(document, area, "warning", "not checked"), area


def test_records_that_nobody_reads_are_counted_with_the_time_that_they_wait(
    read: Site,
) -> None:
    read.put(2)

    document = examined(read)

    audit = f"{read.prefix}.audit"
    [group] = [one for one in found(document, "groups", "fault") if one["where"] == audit]
    [behind] = [one for one in found(document, "lag") if one["where"] == audit]
    assert group["what"] == "no members: nobody reads"
    assert f"{read.prefix}audit[0]" in behind["what"]
    assert "has waited for" in behind["what"]
    assert document["exit_code"] == 1


def test_records_that_were_deleted_before_they_were_read_are_a_fault(read: Site) -> None:
    read.put(2)
    topic = KafkaTopic(read.prefix + "audit", read.client)
    committed = topic_end(read) - read.lag()
    topic.delete_before(committed + 1)

    document = examined(read)

    lost = [one["what"] for one in found(document, "groups", "fault")]
    assert f"deleted before they were read: {topic.name}[0]@{committed}..{committed + 1}" in lost


def test_a_topic_that_is_missing_is_told_and_not_created(site: Site) -> None:
    before = set(partition_counts(site.client))

    document = examined(site)

    missing = {one["where"] for one in found(document, "topics", "fault")}
    assert {site.prefix + kind for kind in KINDS} <= missing
    assert set(partition_counts(site.client)) == before
    assert document["exit_code"] == 1


def test_the_lag_on_a_topic_that_is_missing_is_an_error_that_names_it(site: Site) -> None:
    with pytest.raises(ConfigError, match=f"topic {site.prefix}audit: there is none"):
        site.lag()


def test_the_times_of_several_partitions_are_read_at_once(
    site: Site,
) -> None:
    old, fresh = Place(site.prefix + "audit", 0), Place(site.prefix + "audit", 1)
    KafkaTopic(old.topic, site.client).create(2).put(
        Put(b"{}"), *[Put(b"{}", NOON + 9, partition=1)] * 20
    )

    times = first_times(site.client, [(fresh, 0), (old, 0)], timedelta(seconds=10))

    assert times == {(old, 0): NOON, (fresh, 0): NOON + 9}


def test_a_broker_that_is_away_leaves_redis_examined(site: Site) -> None:
    document = examined(site, KAFKA__BOOTSTRAP_SERVERS=NOBODY)

    [away] = found(document, "broker")
    assert (away["level"], away["where"]) == ("fault", NOBODY)
    assert "refused" in away["what"]
    assert "masswatch dev up" in away["remedy"]
    assert found(document, "redis", "ok")
    assert document["exit_code"] == 4


def test_a_redis_that_is_away_leaves_kafka_examined(read: Site) -> None:
    document = examined(read, REDIS__URL=f"redis://{NOBODY}/0")

    [away] = found(document, "redis")
    assert (away["level"], away["where"]) == ("fault", f"redis {NOBODY}")
    assert found(document, "topics", "ok")
    assert document["exit_code"] == 4


def test_wrong_settings_go_before_what_is_away(site: Site) -> None:
    document = examined(site, WORKER__LEASE="3600", REDIS__URL=f"redis://{NOBODY}/0")

    assert [one["where"] for one in found(document, "settings")] == ["MASSWATCH_WORKER__LEASE"]
    assert found(document, "redis", "fault")
    assert found(document, "broker", "ok")
    assert document["exit_code"] == 3


def test_a_kafka_that_wants_another_protocol_is_told_with_its_reason(site: Site) -> None:
    document = examined(
        site,
        KAFKA__SECURITY_PROTOCOL="SASL_PLAINTEXT",
        KAFKA__USERNAME="masswatch",
        KAFKA__PASSWORD="kafka-secret",  # noqa: S106 - a test's
    )

    [refused] = found(document, "broker")
    assert "mechanism" in refused["what"]
    assert "MASSWATCH_KAFKA__SASL_MECHANISM" in refused["remedy"]
    assert "kafka-secret" not in json.dumps(document)
    assert document["exit_code"] == 3


def test_the_whole_takes_less_than_15_seconds_with_servers_that_accept_and_never_answer(
    site: Site,
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        silence = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()

        document = examined(
            site,
            "--worker",
            f"http://{silence}",
            KAFKA__BOOTSTRAP_SERVERS=silence,
            REDIS__URL=f"redis://{silence}/0",
        )

    assert time.monotonic() - began < 15
    for area in ("broker", "redis", "worker"):
        assert found(document, area, "fault"), area


def test_an_eviction_policy_that_deletes_facts_is_a_fault(site: Site) -> None:
    with closing(Redis.from_url(site.settings["REDIS__URL"])) as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
        try:
            document = examined(site)
        finally:
            admin.config_set("maxmemory-policy", "noeviction")

    faults = [one["what"] for one in found(document, "redis", "fault")]
    assert any("maxmemory-policy is allkeys-lru" in what for what in faults)


def test_the_least_privileges_suffice_and_a_command_that_is_lacking_is_named(site: Site) -> None:
    asking = ("+acl|whoami", "+acl|dryrun")
    with a_user(site, *least(site), *asking) as url:
        enough = examined(site, REDIS__URL=url)
    with a_user(site, *least(site, but="+sadd"), *asking) as url:
        too_little = examined(site, REDIS__URL=url)

    assert not [one for one in found(enough, "permissions", "fault") if "redis" in one["where"]]
    [lacking] = found(too_little, "permissions", "fault")
    assert lacking["where"].endswith(": SADD")
    assert "secret" not in json.dumps(too_little)


def test_without_the_right_to_ask_what_is_harmless_is_tried_and_the_rest_is_said_to_be_unchecked(
    site: Site,
) -> None:
    with closing(Redis.from_url(site.settings["REDIS__URL"])) as admin:
        before = set(admin.scan_iter())
        with a_user(site, *least(site, but="+rename")) as url:
            document = examined(site, REDIS__URL=url)
        after = set(admin.scan_iter())

    [lacking] = found(document, "permissions", "fault")
    [unchecked] = [
        one for one in found(document, "permissions", "not checked") if "redis" in one["where"]
    ]
    assert lacking["where"].endswith(": RENAME")
    assert unchecked["where"].endswith(": SADD, HSETNX")
    assert before == after


def test_an_open_transaction_is_seen_with_the_time_of_its_first_record(site: Site) -> None:
    topic = KafkaTopic(site.prefix + "audit", site.client).create()
    topic.put(Put(b"{}"))
    place = Place(topic.name, 0)
    producer = Producer({**site.client, "transactional.id": site.prefix, "log_level": "0"})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topic.name, b"{}", partition=0, timestamp=NOON + 5)
    producer.flush(20)
    try:
        standing = look_at_kafka(
            site.client,
            [topic.name],
            {},
            wanted=lambda _: [(place, 1), (place, 0)],
            within=timedelta(seconds=10),
        )
    finally:
        producer.abort_transaction(20)

    assert isinstance(standing, KafkaStanding)
    assert standing.offsets == {place: Offsets(0, 1, 2, NOON + 5)}
    assert standing.times_ms == {(place, 0): NOON, (place, 1): NOON + 5}
    assert not standing.untold


def topic_end(site: Site) -> int:
    """Tell where the partition ends to which `put` appends."""
    consumer = Consumer({**site.client, "group.id": "test"})
    with closing(consumer):
        _, end = consumer.get_watermark_offsets(TopicPartition(site.prefix + "audit", 0), 10)
    return int(end)
