"""Law 4: a record that the byte test drops is one from which full decoding would gain no fact."""

from random import Random

import pytest
from builders import JsonObject, behavior_row, hunting_record
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spelling import Spelling, spelled_values, wire_records

from pipeline.core.evidence import Matching
from pipeline.core.model import Fact
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored, Malformed
from pipeline.sources.sieve import Sieve

SIEVES = {matching: Sieve(matching) for matching in Matching}
DECODERS = {matching: Decoder(matching) for matching in Matching}
MATCHINGS = pytest.mark.parametrize("matching", Matching)


def facts_of(value: bytes, matching: Matching) -> list[Fact]:
    return [
        one.decoded
        for one in DECODERS[matching](value)
        if not isinstance(one.decoded, Ignored | Malformed)
    ]


def an_escape_of_an_escape() -> tuple[JsonObject, bytes]:
    """A letter escaped in the text, whose escape has a digit that is itself escaped."""
    record = hunting_record("BehaviorEntities", behavior_row())
    plain = Spelling("", 0, "", 0)
    text = plain.write(record["properties"]).replace("ImpossibleT", "Impossible\\u0054")
    value = plain.write({**record, "properties": text}).replace("\\\\u0054", "\\\\u\\u0030054")
    return record, value.encode()


@MATCHINGS
@settings(max_examples=800, deadline=None)
@example(spelled=an_escape_of_an_escape())
@given(spelled=spelled_values())
def test_what_the_sieve_refuses_decodes_to_no_fact_however_it_is_spelled(
    spelled: tuple[JsonObject, bytes], matching: Matching
) -> None:
    _, value = spelled

    assert SIEVES[matching].admits(value) or not facts_of(value, matching)


@MATCHINGS
@settings(max_examples=300, deadline=None)
@given(spelled=spelled_values(), seed=st.integers(0, 2**32))
def test_what_the_sieve_refuses_decodes_to_no_fact_however_it_is_damaged(
    spelled: tuple[JsonObject, bytes], seed: int, matching: Matching
) -> None:
    dice, damaged = Random(seed), bytearray(spelled[1])
    for _ in range(dice.randint(1, 3)):
        place = dice.randrange(len(damaged))
        damaged[place : place + dice.randint(0, 2)] = dice.choice(
            [b"", b"\\", b'"', b"\\u0041", b"\\u", b"a", b"\xff", b"\x00", b"K", b"\xe2\x84\xaa"]
        )
    value = bytes(damaged)

    assert SIEVES[matching].admits(value) or not facts_of(value, matching)


@MATCHINGS
@settings(max_examples=200, deadline=None)
@given(records=st.lists(wire_records(), min_size=1, max_size=4))
def test_a_value_that_is_admitted_has_a_spot_in_it(
    records: list[tuple[JsonObject, str]], matching: Matching
) -> None:
    value = Spelling("", 0, "", 0).write({"records": [record for record, _ in records]}).encode()
    sieve = SIEVES[matching]

    spots = sieve.spots(memoryview(value))

    assert bool(spots) is sieve.admits(value)
    assert list(spots) == sorted(spots)
    assert all(0 < spot <= len(value) for spot in spots)


@MATCHINGS
def test_the_records_drawn_here_do_become_facts_of_every_kind(matching: Matching) -> None:
    kinds: set[str] = set()

    @settings(max_examples=300, deadline=None, database=None)
    @given(spelled=spelled_values())
    def draw(spelled: tuple[JsonObject, bytes]) -> None:
        kinds.update(type(one).__name__ for one in facts_of(spelled[1], matching))

    draw()

    assert kinds == {"Assignment", "Risk", "Behavior", "GraphRequest"}
