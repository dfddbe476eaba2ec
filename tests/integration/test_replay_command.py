"""`masswatch replay` on a real Kafka: what was there is there again, and nothing else."""

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import Message, Producer, TopicPartition
from kafka_topic import NOON, KafkaTopic, Put, admin_of, produce

from pipeline.adapters.kafka_admin import apply, compare
from pipeline.backtest.engine import run as judge
from pipeline.backtest.judging import Question
from pipeline.backtest.result import NamedPolicy
from pipeline.backtest.slicing import slice_of_topics
from pipeline.cli import run
from pipeline.core.policy import Policy
from pipeline.localstack import Addresses, Stack
from pipeline.report.document import document_of
from topics.catalogue import Sources, catalogue

pytestmark = pytest.mark.stack

Json = dict[str, Any]


@pytest.fixture
def client(stack: Addresses, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("MASSWATCH_KAFKA__BOOTSTRAP_SERVERS", stack.bootstrap_servers)
    return {"bootstrap.servers": stack.bootstrap_servers}


@pytest.fixture
def audit(client: dict[str, str], prefix: str) -> KafkaTopic:
    return KafkaTopic(prefix + "audit", client)


def replayed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[Any, str]:
    """Run the command; return what it printed for a program, and what for a person."""
    capsys.readouterr()
    ended = run(["replay", *arguments, "--output", "json"])
    out, err = capsys.readouterr()
    assert ended == code, err
    return json.loads(out) if out else None, err


def again(topic: KafkaTopic, client: Mapping[str, str] | None = None) -> KafkaTopic:
    return KafkaTopic("again." + topic.name, client or topic.client)


def content(message: Message) -> tuple[object, ...]:
    return (
        message.partition(),
        message.value(),
        message.key(),
        message.headers(),
        message.timestamp(),
    )


def values(topic: KafkaTopic) -> list[bytes | str | None]:
    return [one.value() for one in topic.messages()]


SOME = (
    Put(b"\x00\xff\n", NOON + 3, 1, b"k", [("h", b"1"), ("h", b"\xff"), ("none", None)]),
    Put(None, NOON + 1, 1, b"tombstone"),
    Put(b"", NOON + 2, 1, b"", [("empty", b"")]),
    Put(b"first", NOON, 0),
    Put(b"first", NOON, 0),
    Put(b"last", NOON + 9, 2, b"k"),
)


def test_values_keys_headers_record_times_and_the_order_of_partitions_are_kept(
    audit: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.create(partitions=3).put(*SOME)
    again(audit).create(partitions=3)

    document, _ = replayed(capsys, "--topic", audit.name, "--prefix", "again.")

    assert list(map(content, again(audit).messages())) == list(map(content, audit.messages()))
    assert document == {
        "topics": [
            {
                "source": audit.name,
                "topic": again(audit).name,
                "sent": 6,
                "confirmed": 6,
                "record_times": "kept",
            }
        ],
        "failures": [],
        "stopped": False,
        "up_to": "2026-02-02T02:40:00.0090000Z",
    }


def test_missing_topics_are_created_as_the_catalogue_has_the_source(
    client: dict[str, str],
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"audit": prefix + "audit", "graph_activity": prefix + "graph"}
    for kind, name in names.items():
        monkeypatch.setenv(f"MASSWATCH_KAFKA__TOPICS__{kind.upper()}", name)
        KafkaTopic(name, client).create(partitions=3).put(Put(b"1", partition=2))
    topics = [option for name in names.values() for option in ("--topic", name)]

    document, _ = replayed(capsys, *topics, "--prefix", "again.", "--create")

    sources = Sources(audit=(names["audit"],), graph_activity=(names["graph_activity"],))
    expected = [
        replace(one, name=f"again.{one.name}")
        for one in catalogue(sources, partitions=3)
        if one.name in names.values()
    ]
    assert compare(expected, client) == []
    assert [one["record_times"] for one in document["topics"]] == ["set by the topic"] * 2
    assert all(
        [(one.partition(), one.value()) for one in KafkaTopic(topic.name, client).messages()]
        == [(2, b"1")]
        for topic in expected
    )


def test_a_missing_topic_is_named_and_not_created_unasked(
    audit: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.create().put(Put(b"1"))

    _, said = replayed(capsys, "--topic", audit.name, "--prefix", "again.", code=3)

    assert f"topic {again(audit).name}: there is none where it is to go: --create" in said
    assert again(audit).name not in admin_of(audit.client).list_topics(timeout=10).topics


def test_another_cluster_gets_them_under_their_own_names(
    audit: KafkaTopic, own_stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.create(partitions=3).put(*SOME)
    there = KafkaTopic(audit.name, {"bootstrap.servers": own_stack.bootstrap_servers})
    there.create(partitions=3)

    replayed(capsys, "--topic", audit.name, "--to-bootstrap-servers", own_stack.bootstrap_servers)

    assert list(map(content, there.messages())) == list(map(content, audit.messages()))
    assert len(audit.messages()) == len(SOME)


def test_a_topic_is_not_written_into_itself_whatever_its_cluster_is_called(
    audit: KafkaTopic, client: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    audit.create().put(Put(b"1"))
    other_name = client["bootstrap.servers"].replace("127.0.0.1", "localhost")

    for arguments in ((), ("--to-bootstrap-servers", other_name), ("--create", "--dry-run")):
        _, said = replayed(capsys, "--topic", audit.name, *arguments, code=3)

        assert f"{audit.name}: would be written into itself" in said
    assert values(audit) == [b"1"]


def test_nor_is_one_topic_of_several_written_into_another(
    client: dict[str, str], prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    inner, outer = KafkaTopic(prefix + "b", client), KafkaTopic("a." + prefix + "b", client)
    inner.create().put(Put(b"inner"))
    outer.create().put(Put(b"outer"))

    both = ("--topic", inner.name, "--topic", outer.name)
    _, said = replayed(capsys, *both, "--prefix", "a.", "--create", code=3)

    assert f"{outer.name}: would be written into itself" in said
    assert values(outer) == [b"outer"]


def test_a_slice_by_record_time_is_replayed_with_its_record_times_moved(
    audit: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.create().put(*(Put(b"%d" % n, at=NOON + 1_000 * n) for n in range(5)))
    again(audit).create()

    replayed(
        capsys,
        *("--topic", audit.name, "--prefix", "again.", "--shift", "1d12h500ms"),
        *("--from", "2026-02-02T02:40:01Z", "--to", "2026-02-02T02:40:03Z"),
    )

    day_and_a_half = 36 * 3_600_000 + 500
    assert [(one.value(), one.timestamp()[1]) for one in again(audit).messages()] == [
        (b"1", NOON + 1_000 + day_and_a_half),
        (b"2", NOON + 2_000 + day_and_a_half),
    ]


def test_into_fewer_partitions_a_key_stays_in_one_and_records_without_keep_their_order(
    audit: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.create(partitions=4)
    audit.put(
        *(Put(b"%d" % n, NOON + n, n % 4, b"key %d" % (n % 8)) for n in range(80)),
        *(Put(b"keyless %d" % n, NOON + n, n % 4) for n in range(80)),
    )
    again(audit).create(partitions=3)

    replayed(capsys, "--topic", audit.name, "--prefix", "again.")

    of_key: dict[bytes, set[int | None]] = {}
    for one in again(audit).messages():
        key = one.key()
        if isinstance(key, bytes):
            of_key.setdefault(key, set()).add(one.partition())
        else:
            number = int(str(one.value(), "ascii").split()[1])  # type: ignore[arg-type]
            assert one.partition() == number % 4 % 3
    assert len(of_key) == 8
    assert all(len(partitions) == 1 for partitions in of_key.values())
    for number in range(8):
        found = [one.value() for one in again(audit).messages() if one.key() == b"key %d" % number]
        assert found == [b"%d" % n for n in range(number, 80, 8)]


def test_keeping_partitions_needs_as_many(
    audit: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.create(partitions=2).put(Put(b"1", partition=1))
    again(audit).create(partitions=1)

    arguments = ("--topic", audit.name, "--prefix", "again.", "--keep-partitions")
    _, said = replayed(capsys, *arguments, code=3)

    assert f"topic {again(audit).name}: 1 partitions, {audit.name} has 2" in said
    assert values(again(audit)) == []


def test_partitions_are_merged_by_record_time_though_one_is_far_ahead_of_the_others(
    audit: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of each partition far more than may wait: they have to be held back, and let go again.
    dice = Random(7)
    audit.create(partitions=3)
    times = {
        0: range(3_000),
        1: range(2_500, 5_500),
        2: [n * 2 for n in range(3_000)],
    }
    records = [
        Put(dice.randbytes(8_000) + b"%d" % partition, NOON + at, partition)
        for partition, of_partition in times.items()
        for at in of_partition
    ]
    audit.put(*records)
    again(audit).create(partitions=1)

    document, _ = replayed(capsys, "--topic", audit.name, "--prefix", "again.")

    merged = again(audit).messages()
    at = [one.timestamp()[1] for one in merged]
    assert document["topics"][0]["confirmed"] == len(merged) == len(records)
    assert at == sorted(at)
    for partition in times:
        expected = [one.value for one in records if one.partition == partition]
        ours = b"%d" % partition
        found = [value for one in merged if isinstance(value := one.value(), bytes)]
        assert digests([one for one in found if one.endswith(ours)]) == digests(expected)


def digests(values: list[Any]) -> list[str]:
    return [hashlib.sha256(one).hexdigest() for one in values]


def test_at_four_times_the_speed_two_seconds_take_half_a_second(
    audit: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.create(partitions=2)
    audit.put(*(Put(b"%d" % n, NOON + 100 * n, n % 2) for n in range(21)))
    again(audit).create(partitions=2, message_timestamp_type="LogAppendTime")

    replayed(capsys, "--topic", audit.name, "--prefix", "again.", "--speed", "4")

    appended = [one.timestamp()[1] for one in again(audit).messages()]
    assert len(appended) == 21
    assert 300 <= max(appended) - min(appended) < 1_500


def test_what_was_aborted_is_not_replayed(
    audit: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.create()
    again(audit).create()
    producer = Producer({**audit.client, "transactional.id": audit.name})
    producer.init_transactions(30)
    for value in (b"no", b"yes", b"no"):
        producer.begin_transaction()
        produce(producer, audit.name, [Put(value)])
        if value == b"yes":
            producer.commit_transaction(30)
        else:
            assert producer.flush(30) == 0
            producer.abort_transaction(30)

    replayed(capsys, "--topic", audit.name, "--prefix", "again.")

    assert values(again(audit)) == [b"yes"]


def test_dead_letters_of_the_largest_size_are_replayed(
    audit: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    large = Random(1).randbytes(2 * 1024 * 1024 - 4096)
    audit.create(max_message_bytes="2097152").put(Put(large))
    again(audit).create(max_message_bytes="2097152")

    replayed(capsys, "--topic", audit.name, "--prefix", "again.")

    assert values(again(audit)) == [large]


def test_a_value_that_the_new_topic_does_not_take_is_told_with_where_it_lies(
    audit: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.create().put(Put(b"small"), Put(Random(1).randbytes(500_000)))
    again(audit).create(max_message_bytes="100000")

    document, said = replayed(capsys, "--topic", audit.name, "--prefix", "again.", code=3)

    assert f"{again(audit).name}: 1 values not delivered, the first from {audit.name}[0]@1" in said
    assert "raise the topic's max.message.bytes" in said
    assert [(one["values"], one["first"]) for one in document["failures"]] == [
        (1, f"{audit.name}[0]@1")
    ]
    assert document["topics"][0]["confirmed"] == len(values(again(audit))) == 1


def test_a_dry_run_shows_what_would_be_written_and_writes_nothing(
    audit: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.create(partitions=3).put(*SOME)

    plan, _ = replayed(capsys, "--topic", audit.name, "--prefix", "again.", "--create", "--dry-run")

    assert plan == [
        {
            "source": audit.name,
            "topic": again(audit).name,
            "records_at_most": 6,
            "partitions": 3,
            "placement": "same partition",
            "record_times": "set by the topic",
            "is_created": True,
        }
    ]
    assert again(audit).name not in admin_of(audit.client).list_topics(timeout=10).topics


def test_files_are_written_into_a_topic_each_line_a_value(
    audit: KafkaTopic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"".join(b'{"n": %d}\n' % n for n in range(100)))
    (tmp_path / "b.jsonl").write_bytes(b'{"n": "last"}')
    audit.create(partitions=1)

    document, _ = replayed(capsys, str(tmp_path), "--into", audit.name, "--rate", "1000")

    assert values(audit) == [*(b'{"n": %d}' % n for n in range(100)), b'{"n": "last"}']
    assert document["topics"][0]["confirmed"] == 101
    assert document["up_to"] is None


def test_ctrl_c_waits_for_what_is_in_flight_and_says_how_far_it_came(
    audit: KafkaTopic,
) -> None:
    audit.create().put(*(Put(b"%d" % n, NOON + 20 * n) for n in range(10_000)))
    again(audit).create()
    command = [sys.executable, "-m", "pipeline", "replay", "--topic", audit.name]
    options = ["--prefix", "again.", "--speed", "1", "--output", "json"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    until_something_is_in(again(audit))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 130, err
    document: Json = json.loads(out)
    came_to = document["topics"][0]["confirmed"]
    assert document["stopped"]
    assert 0 < came_to < 10_000
    assert values(again(audit)) == [b"%d" % n for n in range(came_to)]
    assert document["up_to"] is not None


def until_something_is_in(topic: KafkaTopic) -> None:
    consumer = KafkaConsumer({**topic.client, "group.id": "test"})
    place = TopicPartition(topic.name, 0)
    while consumer.get_watermark_offsets(place, 10)[1] == 0:
        pass
    consumer.close()


def test_a_backtest_of_what_was_replayed_says_the_same(
    client: dict[str, str],
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sources = Sources(
        *((f"{prefix}{kind}",) for kind in ("audit", "identity", "behavior", "graph"))
    )
    kinds = ("AUDIT", "IDENTITY_INFO", "BEHAVIOR_ENTITIES", "GRAPH_ACTIVITY")
    for kind, name in zip(kinds, sources.all, strict=True):
        monkeypatch.setenv(f"MASSWATCH_KAFKA__TOPICS__{kind}", name)
    apply([one for one in catalogue(sources, partitions=3) if one.name in sources.all], client)
    assert run(["simulate", "--events", "2000", "--tenants", "5", "--malformed"]) == 0

    document, _ = replayed(capsys, "--prefix", "again.", "--create")

    before = backtest(client, sources.all)
    after = backtest(client, [f"again.{name}" for name in sources.all])
    assert len(before["policies"][0]["alerts"]) > 10
    assert after == before
    assert sum(one["confirmed"] for one in document["topics"]) == before["values"]


def backtest(client: dict[str, str], topics: list[str] | tuple[str, ...]) -> Json:
    question = Question((NamedPolicy("defaults", Policy()),))
    found = judge(slice_of_topics(client, topics, question, frozenset()), question)
    return {name: value for name, value in document_of(found).items() if name != "sources"}
