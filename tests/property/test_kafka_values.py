"""What is let through of values that came together is what the sieve admits of each alone."""

from collections.abc import Sequence

import pytest
from confluent_kafka import KafkaError, Message
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.adapters.kafka_slice import Values, heard
from pipeline.core.evidence import Matching
from pipeline.sources.sieve import Sieve

SIEVES = {matching: Sieve(matching) for matching in Matching}

WORDS = (
    b"MobileAppAssignment",
    b"RiskLevel",
    b'"RiskLevel":"High"',
    b"ImpossibleTravelActivity",
    b"clientRequestId",
    b"DEVICEAPPMANAGEMENT",
    b"\\u0041",
    b"High",
    b'": "',
    b"\n",
    b"\r\n",
    b"\0",
    b"{}",
)
pieces = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(WORDS).flatmap(lambda word: st.integers(0, len(word)).map(lambda n: word[:n])),
    st.sampled_from(WORDS).flatmap(lambda word: st.integers(0, len(word)).map(lambda n: word[n:])),
    st.binary(max_size=3),
)
values = st.one_of(st.none(), st.lists(pieces, max_size=5).map(b"".join))


def together(values: Sequence[bytes | None]) -> Values:
    return Values(
        [
            Message(
                topic="t", partition=3, offset=offset, value=value, key=None, timestamp=(1, 1_000)
            )
            for offset, value in enumerate(values, 7)
        ]
    )


@pytest.mark.parametrize("matching", Matching)
@settings(max_examples=500, deadline=None)
@example(values=[b'{"RiskLevel":', b'"High"}'])
@example(values=[b"MobileApp", b"Assignment"])
@example(values=[None, b"", b"MobileAppAssignment", b"", None])
@example(values=[b"MobileAppAssignment", b"MobileAppAssignment"])
@example(values=[b"\nMobileAppAssignment\n", b"{}", b"{}"])
@given(values=st.lists(values, max_size=12))
def test_candidates_are_what_the_sieve_admits_of_each_value_alone(
    values: list[bytes | None], matching: Matching
) -> None:
    sieve = SIEVES[matching]
    all_of_them = together(values)

    found = list(all_of_them.candidates(sieve))

    assert found == [one for one in all_of_them if sieve.admits(one.value or b"")]


@given(values=st.lists(values, max_size=12))
def test_every_value_is_handed_out_where_it_lies(values: list[bytes | None]) -> None:
    all_of_them = together(values)

    found = list(all_of_them)

    assert [(one.position.offset, one.value) for one in found] == list(enumerate(values, 7))
    assert len(all_of_them) == all_of_them.units == len(values)


def test_a_broker_that_is_away_just_now_is_silence_and_other_errors_are_heard() -> None:
    value = Message(topic="t", partition=3, offset=7, value=b"", key=None)
    away, wrong = (
        Message(topic="t", partition=3, offset=-1, error=KafkaError(code))
        for code in (KafkaError._TRANSPORT, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    )

    assert heard([away]) == []
    assert heard([away, value, wrong]) == [value, wrong]
    assert heard([value, value]) == [value, value]
