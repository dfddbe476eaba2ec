"""Letters as the worker writes them, read back; and what is none."""

import asyncio
from collections.abc import Sequence

import pytest

from pipeline.adapters.kafka_deliveries import Outgoing
from pipeline.adapters.kafka_feed import Recorded
from pipeline.adapters.kafka_sinks import KafkaDeadLetters
from pipeline.core.model import Position
from pipeline.dlq.letter import REDRIVEN_FROM, REDRIVES, Letter, Origin, read
from pipeline.dlq.reading import Selection
from pipeline.dlq.rereading import Reader
from pipeline.ports import Candidate, DeadLetter, Headers
from pipeline.sources.decode import Decoder

AUDIT = "intune.audit.v1"
DLQ = "intune.audit.v1.dlq"
SOURCE = Position(AUDIT, 3, 81215)


class Kept:
    """Deliveries that keep what they are given."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []

    async def send(self, records: Sequence[Outgoing]) -> None:
        self.records += records


def kept(
    value: bytes | None = b"{",
    index: int | None = None,
    headers: Headers = (),
    reason: str = "not JSON",
    at: Position = SOURCE,
) -> Recorded:
    """What the worker writes for a record that it cannot use, as it then lies in the DLQ."""
    deliveries = Kept()
    letters = KafkaDeadLetters(deliveries)  # type: ignore[arg-type]  # only sends
    candidate = Candidate(at, value, b"k", headers, 1_000)
    asyncio.run(letters.send([DeadLetter(candidate, reason, index)]))
    [out] = deliveries.records
    return Recorded(out.topic, 0, 17, out.value, out.key, out.headers, 2_000)


def letter(record: Recorded) -> Letter:
    found = read(record)
    assert isinstance(found, Letter)
    return found


@pytest.mark.parametrize("index", [None, 0, 7])
def test_what_the_worker_wrote_is_read_back(index: int | None) -> None:
    record = kept(b"[{", index, (("h", b"1"), ("h", b"\xff")))

    found = letter(record)

    assert found.at == Position(DLQ, 0, 17)
    assert found.origin == Origin(AUDIT, 3, 81215, 1_000)
    assert found.source == Position(AUDIT, 3, 81215, index)
    assert found.reason == "not JSON"
    assert found.headers == (("h", b"1"), ("h", b"\xff"))
    assert (found.redrives, found.cut_from) == (0, None)


def test_a_redriven_record_is_the_source_record_and_two_headers() -> None:
    record = kept(b"[{", 7, (("h", b"1"),))

    again = letter(record).redriven()

    assert (again.value, again.key) == (b"[{", b"k")
    assert again.headers == (
        ("h", b"1"),
        (REDRIVES, b"1"),
        (REDRIVEN_FROM, b"%s[0]@17" % DLQ.encode()),
    )


def test_the_count_comes_back_with_the_letter_of_a_redriven_record_and_grows() -> None:
    first = letter(kept(headers=(("h", b"1"),))).redriven()
    second = letter(kept(headers=tuple((name, of or b"") for name, of in first.headers)))

    third = second.redriven()

    assert second.redrives == 1
    assert [name for name, _ in third.headers] == ["h", REDRIVES, REDRIVEN_FROM]
    assert dict(third.headers)[REDRIVES] == b"2"


@pytest.mark.parametrize("count", [b"", b"many", b"-1", b"1.5", b"9" * 30])
def test_a_count_that_nobody_can_read_counts_from_none(count: bytes) -> None:
    assert letter(kept(headers=((REDRIVES, count),))).redrives == 0


def test_headers_of_a_record_that_was_copied_from_a_dlq_stay_its_own() -> None:
    copied = kept(reason="another", at=Position("other", 1, 2))

    found = letter(kept(headers=tuple((name, of or b"") for name, of in copied.headers)))

    assert found.headers == tuple(copied.headers)
    assert (found.reason, found.origin) == ("not JSON", Origin(AUDIT, 3, 81215, 1_000))


def test_a_value_that_was_cut_says_how_large_it_was() -> None:
    assert letter(kept(b"x" * 3_000_000)).cut_from == 3_000_000


def test_a_note_names_the_value_of_its_letter() -> None:
    of = letter(kept(index=7))

    note = of.note()

    assert read(note) == of.origin
    assert (note.value, note.key) == (None, None)


def test_a_letter_of_another_topic_is_none_of_this_dlq() -> None:
    record = kept(at=Position("masswatch.alerts.v1", 0, 1))

    assert read(record._replace(topic=DLQ)) is None
    assert read(letter(record).note()._replace(topic=DLQ)) is None


def test_what_lacks_provenance_is_no_letter() -> None:
    whole = kept()
    needed = ("reason", "topic", "partition", "offset", "index", "timestamp")

    for name in needed:
        headers = [one for one in whole.headers if one[0] != f"masswatch-dlq-{name}"]
        assert read(whole._replace(headers=headers)) is None
    assert read(Recorded(DLQ, 0, 1, b"{}")) is None
    assert read(Recorded(DLQ, 0, 1, None, headers=[("masswatch-dlq-redriven", None)])) is None


@pytest.mark.parametrize(
    ("selection", "holds"),
    [
        (Selection(), True),
        (Selection(since_ms=2_000, until_ms=2_001), True),
        (Selection(since_ms=2_001), False),
        (Selection(until_ms=2_000), False),
        (Selection(reason="NOT json"), True),
        (Selection(reason="tenant"), False),
        (Selection(positions=frozenset({Position(DLQ, 0, 17)})), True),
        (Selection(positions=frozenset({SOURCE})), True),
        (Selection(positions=frozenset({Position(AUDIT, 3, 81215, 7)})), True),
        (Selection(positions=frozenset({Position(AUDIT, 3, 81215, 8)})), False),
    ],
)
def test_a_selection_holds_letters_by_time_reason_and_place(
    selection: Selection, holds: bool
) -> None:
    assert selection.holds(letter(kept(index=7))) is holds


RISK = (
    b'{"TenantId":"7d1c2b9e-4a55-4f0e-9c1d-0b7a6f3e2d10","Timestamp":"2026-03-01T00:00:00Z",'
    b'"Type":"User","RiskLevel":"High","AccountUpn":"ines@example.org"}'
)
TIMELESS = RISK.replace(b"2026-03-01T00:00:00Z", b"soon")


@pytest.mark.parametrize(
    ("value", "index", "is_refused", "outcome"),
    [
        (b"{", None, True, "not JSON"),
        (RISK, None, False, "risk"),
        (b'{"category":"other"}', None, False, "ignored: other_category"),
        (b"[%s,%s]" % (RISK, TIMELESS), 0, False, "risk"),
        (b"[%s,%s]" % (RISK, TIMELESS), 1, True, "Timestamp: no readable event time"),
        (b"[%s,%s]" % (RISK, TIMELESS), None, True, "record #1: Timestamp: no readable event time"),
        (b"[%s,%s]" % (RISK, TIMELESS), 2, True, "record #1: Timestamp: no readable event time"),
        (b"[%s,%s]" % (RISK, RISK), None, False, "risk"),
    ],
)
def test_a_letter_is_refused_again_when_its_own_record_is(
    value: bytes, index: int | None, is_refused: bool, outcome: str
) -> None:
    found = Reader(Decoder())(letter(kept(value, index)))

    assert (found.is_refused, found.outcome) == (is_refused, outcome)


def test_letters_of_several_values_are_each_read_by_their_own() -> None:
    values = [RISK, TIMELESS, RISK]
    kept_ones = [kept(one, at=Position(AUDIT, 0, n)) for n, one in enumerate(values)]
    reader = Reader(Decoder())

    assert [reader(letter(one)).is_refused for one in kept_ones] == [False, True, False]


def test_evaluation_requests_are_read_as_such() -> None:
    at = Position("masswatch.evaluations.v1", 0, 1)
    reader = Reader(Decoder())

    assert reader(letter(kept(b"{}", at=at))).is_refused
    assert not reader(letter(kept(b'{"tenant_id":"t","audit_event_id":"e"}', at=at))).is_refused
