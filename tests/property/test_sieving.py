"""What is decoded of an envelope says what decoding all of it says, and counts every record."""

import json
from random import Random

import pytest
from builders import JsonObject, audit_record, value_of
from fuzzing import BREAKS
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spelling import BLANKS, spelled_values

from pipeline.core.evidence import Matching
from pipeline.sources.decode import Decoder
from pipeline.sources.envelope import unread_records
from pipeline.sources.outcome import Ignored, Malformed, Record, Why
from pipeline.sources.sieve import Sieve
from pipeline.sources.sieving import SievingDecoder

MATCHINGS = pytest.mark.parametrize("matching", Matching)
NOT_JSON = Malformed("not JSON")
ODD = (
    b"5",
    b"null",
    b'"text"',
    b"[]",
    b"{}",
    b'{"a": 1e999}',
    b'{"a": "\\ud800"}',
    b'{"a": NaN}',
    b'{"a": "\xff"}',
    b'{"a": "\xe2\x84\xaa"}',
    b"9" * 5_000,
    b'{"a": ' + b"9" * 30 + b"}",
    b"[" * 900 + b"]" * 900,
    b"[" * 1_500 + b"]" * 1_500,
    b'{"a": ' + b"[" * 1_500 + b"]" * 1_500 + b"}",
    b'{"records": [{}]}',
    b'{"a": 1',
    b'{"category": "AdvancedHunting-IdentityInfo", "properties": "{"}',
    b'{"category": "AdvancedHunting-IdentityInfo", "properties"\n:\t"{}"}',
    b'{"category": "advancedhunting-behaviorentities", "propertie\\u0073": "{"}',
    b'{"category": "MicrosoftGraphActivityLogs", "properties": {}, "properties": "x"}',
    b'{"category": "AuditLogs", "properties": "{"}',
)


def told(records: list[Record]) -> list[Record]:
    return [one for one in records if not isinstance(one.decoded, Ignored)]


def told_of_whole(value: bytes, matching: Matching) -> list[Record]:
    """All but what nobody can read, when it is one record of an envelope and holds no word.

    Such a record is nested too deep, and that only where Python's stack is deeper than it usually
    is, as here: else the envelope cannot be taken apart and is malformed as a whole.
    """
    unread, admits = unread_records(value) or [], Sieve(matching).admits

    def is_passed_over(one: Record) -> bool:
        is_one_of_many = one.decoded == NOT_JSON and one.index is not None and bool(unread)
        record = unread[one.index or 0] if is_one_of_many else b""
        return bytes(record[:1]) == b"{" and not admits(record)

    return [one for one in told(Decoder(matching)(value)) if not is_passed_over(one)]


def count(records: list[Record]) -> int:
    return sum(one.records for one in records)


def damaged(value: bytes, seed: int) -> bytes:
    dice, bytes_of = Random(seed), bytearray(value)
    for _ in range(dice.randint(0, 3)):
        place = dice.randrange(len(bytes_of))
        bytes_of[place : place + dice.randint(0, 2)] = dice.choice(
            [
                b"",
                b"\\",
                b'"',
                b"\\u0041",
                b"\\ud83d",
                b"a",
                b"\xff",
                b"\x00",
                b",",
                b"}",
                b"1",
                b"e",
            ]
        )
    return bytes(bytes_of)


@st.composite
def envelopes(draw: st.DrawFn) -> bytes:
    """Draw an envelope of good, odd and broken records, with blanks and other members around."""
    blank = draw(st.sampled_from(BLANKS)).encode()
    records = []
    for kind in draw(st.lists(st.sampled_from("ggob"), max_size=5)):
        good = draw(spelled_values())[1]
        match kind:
            case "g":
                records.append(good)
            case "o":
                records.append(draw(st.sampled_from(ODD)))
            case _:
                dice = Random(draw(st.integers(0, 2**32)))
                records.append(draw(st.sampled_from(BREAKS))(good, dice))
    name = draw(st.sampled_from([b'"records"', b'"records"', b'"r\\u0065cords"', b'"Records"']))
    after = draw(st.sampled_from([b"", b"", b', "x": 1', b', "records": [5]', b', "records": 5']))
    inside = (blank + b"," + blank).join(records)
    return blank + b"{" + blank + name + b":" + blank + b"[" + inside + b"]" + after + b"}" + blank


@MATCHINGS
@settings(max_examples=200, deadline=None)
@example(value=b'{"records":[' + b",".join(ODD[:6]) + b"]}", seed=None)
@given(value=envelopes(), seed=st.none() | st.integers(0, 2**32))
def test_facts_and_malformed_records_are_those_of_the_whole(
    value: bytes, seed: int | None, matching: Matching
) -> None:
    value = value if seed is None else damaged(value, seed)

    sieved, whole = SievingDecoder(Decoder(matching))(value), Decoder(matching)(value)

    assert told(sieved) == told_of_whole(value, matching)
    assert count(sieved) == count(whole)


@MATCHINGS
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd[:40]))
def test_an_odd_record_leaves_its_neighbours_what_they_are(odd: bytes, matching: Matching) -> None:
    good = value_of(audit_record(x=2**70))
    value = b'{"records":[' + b",".join([good, b'{"x": 1}', odd, good]) + b"]}"

    sieved, whole = SievingDecoder(Decoder(matching))(value), Decoder(matching)(value)

    assert told(sieved) == told_of_whole(value, matching)
    assert count(sieved) == count(whole)


@settings(max_examples=300, deadline=None)
@given(drawn=st.lists(spelled_values(), max_size=4), blank=st.sampled_from(BLANKS))
def test_records_taken_apart_unread_are_those_that_were_put_in(
    drawn: list[tuple[JsonObject, bytes]], blank: str
) -> None:
    records = [value for _, value in drawn]
    value = b'{"records":[' + f"{blank},{blank}".encode().join(records) + b"]}"

    unread = unread_records(value)

    assert unread is not None
    assert [json.loads(bytes(one)) for one in unread] == [json.loads(one) for one in records]


@MATCHINGS
def test_records_without_a_word_come_as_one_that_counts_them(matching: Matching) -> None:
    value = b'{"records": [{"a": 1}, {"b": 2}, 5, {"c": 3}]}'

    records = SievingDecoder(Decoder(matching))(value)

    assert [one.index for one in records] == [2, None]
    assert records[1] == Record(None, Ignored(Why.NO_DECISIVE_WORD), records=3)


@MATCHINGS
def test_an_envelope_that_is_no_text_is_malformed_as_a_whole(matching: Matching) -> None:
    value = b'{"records": [' + value_of(audit_record()) + b', {"a": "\xff"}]}'

    records = SievingDecoder(Decoder(matching))(value)

    assert records == Decoder(matching)(value) == [Record(None, NOT_JSON)]
