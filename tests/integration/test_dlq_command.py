"""`masswatch dlq` on a real Kafka: letters counted, shown, and sent again, but not for ever."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from kafka_topic import KafkaTopic, Put

from pipeline.adapters.kafka_deliveries import Deliveries
from pipeline.adapters.kafka_sinks import KafkaDeadLetters
from pipeline.cli import run
from pipeline.core.model import Position
from pipeline.demo.fleet import until
from pipeline.demo.rig import Rig
from pipeline.localstack import Addresses, Stack
from pipeline.ports import Candidate, DeadLetter
from topics.catalogue import Sources, dlq_of

pytestmark = pytest.mark.stack

RISK = (
    b'{"TenantId":"7d1c2b9e-4a55-4f0e-9c1d-0b7a6f3e2d10","Timestamp":"2026-03-01T00:00:00Z",'
    b'"Type":"User","RiskLevel":"High","AccountUpn":"ines@example.org"}'
)
TIMELESS = RISK.replace(b"2026-03-01T00:00:00Z", b"soon")
NO_TIME = "Timestamp: no readable event time"


@pytest.fixture
def client(stack: Addresses, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("MASSWATCH_KAFKA__BOOTSTRAP_SERVERS", stack.bootstrap_servers)
    return {"bootstrap.servers": stack.bootstrap_servers}


@pytest.fixture
def source(client: dict[str, str], prefix: str) -> KafkaTopic:
    KafkaTopic(dlq_of(prefix + "risk"), client).create()
    return KafkaTopic(prefix + "risk", client).create(partitions=3)


def keep(
    topic: KafkaTopic,
    *letters: tuple[bytes, int | None],
    reason: str = NO_TIME,
    first: int = 0,
) -> None:
    """Write letters as the worker does; those of one value come from one position."""
    offsets: dict[bytes, int] = {}
    kept = [
        DeadLetter(
            Candidate(
                Position(topic.name, 1, offsets.setdefault(value, first + len(offsets))),
                value,
                b"key",
                (("h", b"1"),),
                1_770_000_000_000,
            ),
            reason,
            index,
        )
        for value, index in letters
    ]

    async def send() -> None:
        deliveries = Deliveries(topic.client)
        await KafkaDeadLetters(deliveries).send(kept)
        await deliveries.close()

    asyncio.run(send())


def asked(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Run the command; return what it printed for a program."""
    capsys.readouterr()
    ended = run(["dlq", *arguments, "--output", "json"])
    out, err = capsys.readouterr()
    assert ended == code, err
    return json.loads(out) if out else err


def values(topic: KafkaTopic) -> list[bytes | str | None]:
    return [one.value() for one in topic.messages()]


def dlq(topic: KafkaTopic) -> KafkaTopic:
    return KafkaTopic(dlq_of(topic.name), topic.client)


def test_a_redrive_sends_what_can_be_read_once_with_key_headers_and_its_partition(
    source: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    both = b"[%s,%s]" % (RISK, TIMELESS)
    keep(source, (RISK, None), (both, 0), (both, 1), (TIMELESS, None))
    options = ("redrive", "--topic", source.name)

    planned = asked(capsys, *options, "--dry-run")
    untouched = values(source)
    done = asked(capsys, *options)
    again = asked(capsys, *options)

    expected = {
        "topic": source.name,
        "letters": 4,
        "values": 2,
        "skipped": {"its value is sent for another letter": 1, "would be refused again": 1},
    }
    assert planned["topics"] == [{**expected, "confirmed": 0}]
    assert untouched == []
    assert done["topics"] == [{**expected, "confirmed": 2}]
    first, second = source.messages()
    assert (first.value(), second.value()) == (RISK, both)
    assert {one.partition() for one in (first, second)} == {1}
    assert {one.key() for one in (first, second)} == {b"key"}
    assert first.headers() == [
        ("h", b"1"),
        ("masswatch-redrives", b"1"),
        ("masswatch-redriven-from", f"{dlq_of(source.name)}[0]@0".encode()),
    ]
    assert again["topics"][0]["values"] == 0
    assert again["topics"][0]["skipped"] == {"already redriven": 3, "would be refused again": 1}
    assert len(values(source)) == 2


def test_letters_are_counted_by_topic_and_reason_and_by_what_was_redriven(
    source: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(source, (RISK, None), (TIMELESS, None))
    keep(source, (b"{", None), reason="not JSON", first=2)
    asked(capsys, "redrive", "--topic", dlq_of(source.name))

    found = asked(capsys, "list", "--topic", source.name)
    by_reason = asked(capsys, "list", "--topic", source.name, "--reason", "NOT json")
    none = asked(capsys, "list", "--topic", source.name, "--to", "2020-01-01")

    rows = [(one["reason"], one["letters"], one["redriven"]) for one in found["kinds"]]
    assert rows == [(NO_TIME, 2, 1), ("not JSON", 1, 0)]
    assert found["kinds"][1]["latest"] == f"{dlq_of(source.name)}[0]@2"
    assert [one["letters"] for one in by_reason["kinds"]] == [1]
    assert (none["letters"], none["kinds"]) == (0, [])


def test_a_letter_is_found_by_its_own_position_and_by_that_of_its_record(
    source: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    both = b"[%s,%s]" % (RISK, TIMELESS)
    keep(source, (both, 1), (RISK, None))

    [by_letter] = asked(capsys, "show", f"{dlq_of(source.name)}[0]@0")
    [by_record] = asked(capsys, "show", f"{source.name}[1]@0#1")
    [readable] = asked(capsys, "show", f"{source.name}[1]@1")
    nothing = asked(capsys, "show", f"{source.name}[1]@7", code=1)

    assert by_letter == by_record
    assert (by_letter["refused_today"], by_letter["today"]) == (True, NO_TIME)
    assert by_letter["record"] == json.loads(TIMELESS)
    assert by_letter["headers"] == [{"name": "h", "value": "1"}]
    assert (readable["refused_today"], readable["today"]) == (False, "risk")
    assert "no dead letter is there" in nothing


def test_what_a_terminal_would_obey_is_printed_escaped(
    source: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = '{"RiskLevel":"High","Type":"User","AccountUpn":"\u202e[red]\x9b31m"}'.encode()
    keep(source, (hostile, None), (b"\x1b[2J{", None), reason="bad \x1b[2J [red]")
    place = dlq_of(source.name)

    for command in (["list", "--topic", source.name], ["show", f"{place}[0]@0"]):
        for form in ("table", "json"):
            assert run(["dlq", *command, "--output", form]) == 0
    assert run(["dlq", "show", f"{place}[0]@1"]) == 0
    out = capsys.readouterr().out

    assert all(one.isprintable() or one == "\n" for one in out)
    assert "bad \\x1b[2J [red]" in out
    assert "\\u202e[red]\\x9b31m" in out


def test_a_value_that_was_cut_is_not_sent_and_said_to_be_cut(
    source: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(source, (b"x" * 3_000_000, None))

    done = asked(capsys, "redrive", "--topic", source.name, "--even-if-refused")

    assert done["topics"][0]["skipped"] == {"cut: its value is not whole": 1}
    assert values(source) == []


def test_records_that_are_no_letters_of_a_dlq_are_counted_and_left(
    source: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    other = KafkaTopic(source.name + "2", source.client).create()
    KafkaTopic(dlq_of(other.name), source.client).create()
    keep(other, (RISK, None))
    [foreign] = dlq(other).messages()
    headers: Sequence[tuple[str, bytes | None]] = foreign.headers()  # type: ignore[assignment]
    dlq(source).put(Put(RISK, headers=headers), Put(b"?"))

    found = asked(capsys, "list", "--topic", source.name)
    done = asked(capsys, "redrive", "--topic", source.name)

    assert (found["letters"], found["no_letters"]) == (0, 2)
    assert done["topics"] == []
    assert values(other) == values(source) == []


def test_a_dlq_that_does_not_exist_is_wrong_configuration(
    client: dict[str, str], prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client

    told = asked(capsys, "list", "--topic", prefix + "gone", code=3)

    assert f"topic {prefix}gone.dlq: does not exist" in told


def test_a_value_that_its_topic_does_not_take_ends_the_redrive_with_its_position(
    source: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    small = KafkaTopic(source.name + "small", source.client).create(max_message_bytes="100")
    KafkaTopic(dlq_of(small.name), source.client).create()
    keep(small, (RISK, None))

    assert run(["dlq", "redrive", "--topic", small.name]) == 3
    err = capsys.readouterr().err

    assert f"the first from {dlq_of(small.name)}[0]@0" in err
    assert len(dlq(small).messages()) == 1  # and no note


def test_ctrl_c_ends_clean_and_another_redrive_sends_the_rest_and_nothing_twice(
    source: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 30_000
    keep(source, *((RISK.replace(b"ines", b"%d" % n), None) for n in range(count)))
    options = ["redrive", "--topic", source.name, "--output", "json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "dlq", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    until_something_is_in(source)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    rest = asked(capsys, *options[:-2])

    assert process.returncode == 130, err
    part = json.loads(out)["topics"][0]
    assert 0 < part["values"] == part["confirmed"] < count
    assert rest["topics"][0]["confirmed"] == count - part["confirmed"]
    assert len(set(values(source))) == len(values(source)) == count


def until_something_is_in(topic: KafkaTopic) -> None:
    consumer = Consumer({**topic.client, "group.id": "watermarks"})
    while consumer.get_watermark_offsets(TopicPartition(topic.name, 1), 10)[1] == 0:
        pass
    consumer.close()


def test_what_a_worker_refuses_again_comes_back_counted_and_ends_at_the_bound(
    own_stack: Stack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MASSWATCH_KAFKA__BOOTSTRAP_SERVERS", own_stack.bootstrap_servers)
    name = Sources().identity_info[0]
    with Rig(own_stack, tmp_path) as rig:
        rig.wait_until_ready(rig.start_worker())
        rig.send([(name, TIMELESS)])
        until(rig.is_settled, "the record handled", 60)
        force = ("redrive", "--all", "--even-if-refused", "--at-most", "2")

        sane = asked(capsys, "redrive", "--all")
        done = []
        for _ in range(4):
            done.append(asked(capsys, *force)["topics"][0])
            until(rig.is_settled, "the record handled again", 60)
        topic = KafkaTopic(name, rig.client)
        kinds = asked(capsys, "list")["kinds"]

        assert sane["topics"][0]["skipped"] == {"would be refused again": 1}
        assert [one["values"] for one in done] == [1, 1, 0, 0]
        assert done[-1]["skipped"] == {"already redriven": 2, "redriven too often": 1}
        assert values(topic) == [TIMELESS] * 3
        assert [(one["letters"], one["redriven"]) for one in kinds] == [(3, 2)]
