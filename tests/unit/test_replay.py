from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from pipeline.adapters.kafka_feed import Recorded
from pipeline.adapters.kafka_replay import Failures
from pipeline.cli import run as run_command
from pipeline.core.errors import BrokerUnavailable, ConfigError
from pipeline.core.model import Position
from pipeline.replay.pace import ByRecordTime, FlatOut
from pipeline.replay.replay import FILES, FileSource, Manner, run
from pipeline.replay.routes import Placement, Route
from pipeline.slices.files import shards_of
from pipeline.slices.progress import Progress

NOON = 1_770_000_000_000
ROUTE = Route("audit", "again.audit", 4, Placement.SAME, keeps_times=True)


class HeldSource:
    """Records in memory, and perhaps an end before the end."""

    def __init__(self, *records: Recorded, ends_by: BrokerUnavailable | None = None) -> None:
        self._records = records
        self._ends_by = ends_by
        self.total = len(records)
        self.done = 0

    def records(self, stopped: Callable[[], bool]) -> Iterator[tuple[str, Recorded]]:
        for record in self._records:
            self.done += 1
            yield record.topic, record
        if self._ends_by is not None:
            raise self._ends_by


class HeldSender:
    """Keeps what is sent; one value may be one that no topic takes. Waiting moves its clock."""

    def __init__(self, refused: bytes = b"") -> None:
        self._refused = refused
        self.sent: list[tuple[str, int | None, bytes | None, int]] = []
        self.waiting = 0
        self.now = 0.0
        self.confirmed: Counter[str] = Counter()
        self.failures: list[Failures] = []

    def send(
        self, record: Recorded, topic: str, partition: int | None = None, time_ms: int = 0
    ) -> None:
        if record.value == self._refused:
            error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
            where = Position(record.topic, record.partition, record.offset)
            self.failures.append(Failures(topic, error, where, record.time_ms, 1))
            return
        self.sent.append((topic, partition, record.value, time_ms))
        self.waiting += 1

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def finish(self) -> None:
        self.confirmed["again.audit"] += self.waiting
        self.waiting = 0


def a_record(
    value: bytes, at: int = NOON, partition: int = 3, key: bytes | None = None
) -> Recorded:
    return Recorded("audit", partition, 7, value, key, (), at)


def test_records_go_where_their_route_leads_with_their_record_times_moved() -> None:
    sender = HeldSender()
    source = HeldSource(a_record(b"1"), a_record(b"2", at=NOON + 5, partition=0), a_record(b"3", 0))

    replayed = run(source, {"audit": ROUTE}, sender, Manner(FlatOut(), shift_ms=-1_000))

    assert sender.sent == [
        ("again.audit", 3, b"1", NOON - 1_000),
        ("again.audit", 0, b"2", NOON - 995),
        ("again.audit", 3, b"3", 0),
    ]
    assert replayed.sent == replayed.confirmed == {"again.audit": 3}
    assert replayed.up_to_ms == NOON + 5
    assert not replayed.stopped


@pytest.mark.parametrize(
    ("placement", "key", "expected"),
    [
        (Placement.SAME, b"k", 7),
        (Placement.SAME, None, 7),
        (Placement.BY_KEY, b"k", None),
        (Placement.BY_KEY, b"", None),
        (Placement.BY_KEY, None, 7 % 3),
        (Placement.ANY, None, None),
    ],
)
def test_a_record_without_a_key_stays_with_those_of_its_partition(
    placement: Placement, key: bytes | None, expected: int | None
) -> None:
    route = Route("audit", "again.audit", 3, placement, keeps_times=True)

    assert route.partition_of(a_record(b"", partition=7, key=key)) == expected


def test_a_record_waits_until_it_is_due() -> None:
    sender = HeldSender()
    source = HeldSource(a_record(b"1"), a_record(b"2", at=NOON + 2_000))
    pace = ByRecordTime(4, lambda: sender.now)

    run(source, {"audit": ROUTE}, sender, Manner(pace))

    assert sender.now == pytest.approx(0.5)


def test_who_stops_it_while_it_waits_gets_what_is_in_flight_and_no_more() -> None:
    sender = HeldSender()
    source = HeldSource(a_record(b"1"), a_record(b"2", at=NOON + 3_600_000))
    pace = ByRecordTime(1, lambda: sender.now)

    replayed = run(source, {"audit": ROUTE}, sender, Manner(pace, stopped=lambda: sender.now > 5))

    assert replayed.stopped
    assert replayed.sent == replayed.confirmed == {"again.audit": 1}
    assert replayed.up_to_ms == NOON
    assert sender.now < 6


def test_it_ends_with_the_first_value_that_does_not_arrive() -> None:
    sender = HeldSender(refused=b"2")
    source = HeldSource(*(a_record(b"%d" % one, at=NOON + one) for one in range(1, 5)))

    replayed = run(source, {"audit": ROUTE}, sender, Manner(FlatOut()))

    assert [value for _, _, value, _ in sender.sent] == [b"1"]
    assert replayed.up_to_ms == NOON + 2
    [failure] = replayed.failures
    assert str(failure) == (
        "again.audit: 1 values not delivered, the first from audit[3]@7 "
        "(Broker: Message size too large): raise the topic's max.message.bytes"
    )


def test_a_source_that_cannot_be_read_to_its_end_is_told_with_what_was_sent() -> None:
    away = BrokerUnavailable("audit[3]: nothing comes for 30 s: is the broker there")
    sender = HeldSender()

    replayed = run(
        HeldSource(a_record(b"1"), ends_by=away), {"audit": ROUTE}, sender, Manner(FlatOut())
    )

    assert replayed.ended_by is away
    assert replayed.confirmed == {"again.audit": 1}


def test_a_shift_to_before_1970_is_refused_since_kafka_would_take_it_for_now() -> None:
    replayed = run(
        HeldSource(a_record(b"1")), {"audit": ROUTE}, HeldSender(), Manner(FlatOut(), -NOON)
    )

    assert isinstance(replayed.ended_by, ConfigError)
    assert replayed.sent == {"again.audit": 0}


def test_of_files_every_line_is_sent_but_empty_ones_and_progress_is_in_bytes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": 2}\n{"a": 3}')
    sender, seen = HeldSender(), list[Progress]()
    route = Route(FILES, "again.audit", 4, Placement.ANY, keeps_times=False)

    run(
        FileSource(tuple(shards_of([path], 10))),
        {FILES: route},
        sender,
        Manner(FlatOut()),
        seen.append,
    )

    values = [b'{"a": 1}', b'{"a": 2}', b'{"a": 3}']
    assert sender.sent == [("again.audit", None, value, 0) for value in values]
    assert seen[-1] == Progress(3, path.stat().st_size, path.stat().st_size)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["audit.jsonl"], "--into"),
        (["--into", "audit"], "--into"),
        (["audit.jsonl", "--into", "audit", "--speed", "2"], "--speed"),
        (["audit.jsonl", "--into", "audit", "--topic", "audit"], "--topic"),
        (["audit.jsonl", "--into", "audit", "--by-key"], "--by-key"),
        (["audit.jsonl", "--into", "audit", "--shift", "1d"], "--shift"),
        (["--prefix", "a.", "--speed", "2", "--rate", "5"], "--rate"),
        (["--prefix", "a.", "--shift", "90"], "--shift"),
        (["--prefix", "a.", "--shift", "d90"], "--shift"),
        (["--prefix", "a.", "--from", "2026-03-02", "--to", "2026-03-01"], "--to"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["replay", *arguments]) == 2
    assert said in capsys.readouterr().err
