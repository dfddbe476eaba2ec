"""Decoding: every spelling says the same, every record has one outcome, nothing raises."""

from random import Random

import pytest
from builders import (
    JsonObject,
    audit_record,
    envelope,
    value_of,
)
from fuzzing import fuzzed
from hypothesis import given, settings
from hypothesis import strategies as st
from spelling import spelled_values, wire_records

from pipeline.core.evidence import Matching
from pipeline.core.model import Assignment, Behavior, GraphRequest, Risk
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored, Malformed, Record

MATCHINGS = pytest.mark.parametrize("matching", Matching)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@MATCHINGS
@settings(max_examples=500, deadline=None)
@given(spelled=spelled_values())
def test_every_spelling_of_a_record_decodes_to_the_same(
    spelled: tuple[JsonObject, bytes], matching: Matching
) -> None:
    record, value = spelled
    decode = Decoder(matching)

    assert decode(value) == decode(value_of(record))


@MATCHINGS
@settings(max_examples=200, deadline=None)
@given(drawn=st.lists(wire_records(), max_size=5), form=st.sampled_from(["one", "array", "lines"]))
def test_records_have_one_outcome_each_whatever_stands_beside_them(
    drawn: list[tuple[JsonObject, str]], form: str, matching: Matching
) -> None:
    decode, records = Decoder(matching), [record for record, _ in drawn]
    cut = len(records) // 2
    value = {
        "one": envelope(*records),
        "array": value_of([{"records": records[:cut]}, {"records": records[cut:]}]),
        "lines": envelope(*records[:cut]) + b"\n" + envelope(*records[cut:]),
    }[form]

    together = decode(value)

    alone = [decode(value_of(record))[0] for record in records]
    assert together == [
        Record(index, one.decoded, one.unmapped_workspace) for index, one in enumerate(alone)
    ]


@settings(max_examples=300, deadline=None)
@given(document=json_values)
def test_any_json_at_all_is_taken_apart_without_a_fact(document: object) -> None:
    for record in Decoder(Matching.FAITHFUL)(value_of(document)):
        assert isinstance(record.decoded, Ignored | Malformed)


@settings(max_examples=300, deadline=None)
@given(drawn=wire_records(), name=st.data(), odd=json_values)
def test_any_json_in_place_of_any_column_harms_nobody(
    drawn: tuple[JsonObject, str], name: st.DataObject, odd: object
) -> None:
    record = dict(drawn[0])
    record[name.draw(st.sampled_from(sorted(record)))] = odd

    before, damaged, after = Decoder()(envelope(audit_record(), record, audit_record()))

    assert [before.index, damaged.index, after.index] == [0, 1, 2]
    assert isinstance(before.decoded, Assignment)
    assert before.decoded == after.decoded


def test_ten_thousand_fuzzed_values_raise_nothing_and_hide_no_good_record() -> None:
    decode = Decoder()

    for value, wanted in fuzzed(10_000, Random(3)):
        records = decode(value)

        indexes = [record.index for record in records]
        assert indexes in ([None], list(range(len(records))))
        outcomes = (Assignment, Risk, Behavior, GraphRequest, Ignored, Malformed)
        assert all(isinstance(record.decoded, outcomes) for record in records)
        if wanted:
            facts = [one.decoded for one in records if not isinstance(one.decoded, Malformed)]
            assert facts == wanted
