"""Which dead letters are sent again, how often, and what is noted of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from confluent_kafka import KafkaError

from pipeline.adapters.kafka_feed import Recorded
from pipeline.adapters.kafka_replay import Failures
from pipeline.cli import run
from pipeline.core.errors import BrokerUnavailable
from pipeline.core.model import Position
from pipeline.dlq.letter import REDRIVES, Letter, Origin, read
from pipeline.dlq.redrive import Guard, Redriven, Skipped, redrive
from pipeline.dlq.rereading import Reread

AUDIT, DLQ = "intune.audit.v1", "intune.audit.v1.dlq"
READABLE = Reread(is_refused=False, outcome="risk")
REFUSED = Reread(is_refused=True, outcome="not JSON")


def a_letter(offset: int = 0, index: int | None = None, partition: int = 0) -> Letter:
    at = Position(DLQ, 0, 100 + offset)
    record = Recorded(at.topic, at.partition, at.offset, b"%d" % offset, b"k", (), 5)
    origin = Origin(AUDIT, partition, offset, 5)
    return Letter(at, origin, index, "not JSON", (), 0, None, record)


class Sent:
    """A sender that keeps what it is given; from one value on nothing arrives."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.confirmed: Counter[str] = Counter()
        self.failures: Sequence[Failures] = ()
        self.values: list[tuple[str, int | None, Recorded]] = []
        self.notes: list[tuple[str, int | None, Origin]] = []
        self._fails_at = fails_at

    def send(
        self, record: Recorded, topic: str, partition: int | None = None, time_ms: int = 0
    ) -> None:
        assert time_ms == 0
        note = read(record) if topic == DLQ else None
        if isinstance(note, Origin):
            self.notes.append((topic, partition, note))
            return
        if len(self.values) == self._fails_at:
            error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
            self.failures = [Failures(topic, error, Position(DLQ, 0, 0), 0)]
            return
        self.values.append((topic, partition, record))

    def finish(self) -> None:
        self.confirmed[AUDIT] = len(self.values)


def a_guard(
    reread: Reread = READABLE,
    *,
    noted: frozenset[Origin] = frozenset(),
    at_most: int = 3,
    even_if_refused: bool = False,
) -> Guard:
    return Guard(lambda _: reread, noted, {AUDIT}, at_most=at_most, even_if_refused=even_if_refused)


def skipped(letter: Letter, guard: Guard) -> Skipped | None:
    return guard.skips(letter)


def test_a_value_goes_to_the_partition_it_came_from_and_is_noted_beside_its_letter() -> None:
    sender, letter = Sent(), a_letter(7, partition=3)

    done = redrive([letter], a_guard(), {AUDIT: 4}, sender)

    assert sender.values == [(AUDIT, 3, letter.redriven())]
    assert sender.notes == [(DLQ, 0, letter.origin)]
    assert (done.letters, done.values, done.skipped) == ({AUDIT: 1}, {AUDIT: 1}, {})


def test_a_partition_that_is_there_no_more_leaves_the_value_to_its_key() -> None:
    sender = Sent()

    redrive([a_letter(partition=3)], a_guard(), {AUDIT: 3}, sender)

    assert [partition for _, partition, _ in sender.values] == [None]


def test_several_letters_of_one_value_are_one_redrive() -> None:
    sender = Sent()

    done = redrive([a_letter(7, index=n) for n in (0, 1, 5)], a_guard(), {AUDIT: 1}, sender)

    assert len(sender.values) == len(sender.notes) == 1
    assert done.skipped == {(AUDIT, Skipped.SAME_VALUE): 2}


def test_one_record_that_can_be_read_is_enough_for_its_value() -> None:
    letters = [a_letter(7, index=n) for n in (0, 1)]
    guard = Guard(lambda one: REFUSED if one.index == 0 else READABLE, frozenset(), {AUDIT})

    done = redrive(letters, guard, {AUDIT: 1}, sender := Sent())

    assert len(sender.values) == 1
    assert done.skipped == {(AUDIT, Skipped.REFUSED): 1}


def test_what_would_be_refused_again_stays_unless_it_is_asked_for() -> None:
    assert skipped(a_letter(), a_guard(REFUSED)) is Skipped.REFUSED
    assert skipped(a_letter(), a_guard(REFUSED, even_if_refused=True)) is None


def test_what_is_noted_is_not_sent_again_but_the_same_position_of_a_new_topic_is() -> None:
    letter = a_letter(7)
    later = replace(letter, origin=letter.origin._replace(time_ms=6))
    guard = a_guard(noted=frozenset({letter.origin}), even_if_refused=True)

    assert skipped(letter, guard) is Skipped.REDRIVEN
    assert skipped(later, guard) is None


@pytest.mark.parametrize(
    ("redrives", "expected"), [(2, None), (3, Skipped.TOO_OFTEN), (9, Skipped.TOO_OFTEN)]
)
def test_a_value_that_comes_back_is_redriven_so_many_times_in_all(
    redrives: int, expected: Skipped | None
) -> None:
    letter = replace(a_letter(), redrives=redrives)

    assert skipped(letter, a_guard(REFUSED, even_if_refused=True)) is expected


def test_a_cut_value_and_one_of_a_topic_that_is_gone_are_never_sent() -> None:
    cut = replace(a_letter(), cut_from=3_000_000)
    gone = replace(a_letter(), origin=Origin("gone", 0, 0, 5))

    assert skipped(cut, a_guard(even_if_refused=True)) is Skipped.CUT
    assert skipped(gone, a_guard(even_if_refused=True)) is Skipped.NO_TOPIC


def test_redriving_what_always_comes_back_ends() -> None:
    letter, counts = a_letter(), list[bytes | None]()

    for n in range(10):
        sender = Sent()
        redrive([letter], a_guard(even_if_refused=True), {AUDIT: 1}, sender)
        for _, _, record in sender.values:
            counts.append(dict(record.headers)[REDRIVES])
            letter = replace(a_letter(n + 1), headers=tuple(record.headers), redrives=n + 1)

    assert counts == [b"1", b"2", b"3"]


def test_a_dry_run_says_the_same_and_writes_nothing() -> None:
    letters = [a_letter(1), a_letter(1, index=3), a_letter(2)]

    dry = redrive(letters, a_guard(), {AUDIT: 1}, None)
    wet = redrive(letters, a_guard(), {AUDIT: 1}, Sent())

    assert dry == wet
    assert [one.at for one in dry.first] == [letters[0].at, letters[2].at]


def test_a_limit_bounds_the_values_and_says_that_more_are_left() -> None:
    sender = Sent()

    done = redrive(map(a_letter, range(5)), a_guard(), {AUDIT: 1}, sender, limit=2)

    assert [record.value for _, _, record in sender.values] == [b"0", b"1"]
    assert done.reached_limit
    assert not redrive(map(a_letter, range(2)), a_guard(), {AUDIT: 1}, None, 2).reached_limit


def test_a_batch_of_which_something_does_not_arrive_is_the_last_and_not_noted() -> None:
    sender = Sent(fails_at=700)

    done = redrive(map(a_letter, range(2_000)), a_guard(), {AUDIT: 1}, sender)

    assert [note.offset for _, _, note in sender.notes] == list(range(500))
    assert done.values == {AUDIT: 1_000}
    assert len(done.failures) == 1


def test_what_is_in_hand_is_sent_and_noted_when_the_dlq_cannot_be_read_on() -> None:
    def cut_off() -> Iterator[Letter]:
        yield a_letter(1)
        raise BrokerUnavailable("gone")

    done = redrive(cut_off(), a_guard(), {AUDIT: 1}, sender := Sent())

    assert isinstance(done.ended_by, BrokerUnavailable)
    assert len(sender.values) == len(sender.notes) == 1


def test_nothing_asked_for_is_nothing_done() -> None:
    assert redrive([], a_guard(), {AUDIT: 1}, Sent()) == Redriven()


@pytest.mark.parametrize(
    "arguments",
    [
        ["redrive"],
        ["redrive", "somewhere"],
        ["redrive", "--all", "--at-most", "0"],
        ["redrive", "--from", "2026-03-02", "--to", "2026-03-01"],
        ["show", "intune.audit.v1"],
        ["list", "--limit", "0"],
    ],
)
def test_wrong_usage_is_told_before_a_broker_is_asked(arguments: list[str]) -> None:
    assert run(["dlq", *arguments]) == 2
