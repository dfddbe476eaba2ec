import json

import pytest
from builders import (
    JsonObject,
    activity_properties,
    activity_record,
    audit_record,
    audit_row,
    behavior_row,
    envelope,
    hunting_record,
    identity_row,
    owned,
    sentinel_row,
    value_of,
)

from pipeline.core.evidence import BEHAVIORS_THAT_COUNT, Matching
from pipeline.sources.sieve import Sieve

REPAIRED, FAITHFUL = Sieve(Matching.REPAIRED), Sieve(Matching.FAITHFUL)
SIEVES = pytest.mark.parametrize("sieve", [REPAIRED, FAITHFUL], ids=["repaired", "faithful"])


@SIEVES
@pytest.mark.parametrize(
    "record",
    [
        audit_record(),
        audit_row(),
        audit_record(operationName="Patch MobileAppAssignment"),
        hunting_record("IdentityInfo", identity_row()),
        hunting_record("IdentityInfo", identity_row(RiskLevel="medium")),
        hunting_record("IdentityInfo", json.dumps(identity_row(RiskLevel="HIGH"), indent=3)),
        hunting_record("IdentityInfo", json.dumps(json.dumps(identity_row(), indent="\t"))),
        sentinel_row(),
        activity_record(),
        activity_record(properties=activity_properties(requestUri="/DEVICEAPPMANAGEMENT/")),
        *(
            hunting_record("BehaviorEntities", behavior_row(ActionType=one))
            for one in sorted(BEHAVIORS_THAT_COUNT)
        ),
    ],
)
def test_what_may_hold_a_fact_is_let_through(record: JsonObject, sieve: Sieve) -> None:
    assert sieve.admits(value_of(record))
    assert sieve.admits(envelope({}, record, {}))


@SIEVES
@pytest.mark.parametrize(
    "record",
    [
        {},
        audit_record(operationName="Create ClientCertificate"),
        audit_record(operationName="Create mobileAppAssignment"),
        hunting_record("IdentityInfo", identity_row(RiskLevel=None)),
        hunting_record("IdentityInfo", identity_row(RiskLevel="Low")),
        hunting_record("IdentityInfo", identity_row(RiskLevel="None", City="High")),
        hunting_record("BehaviorEntities", behavior_row(ActionType="MassDownload")),
    ],
)
def test_what_holds_no_fact_is_dropped(record: JsonObject, sieve: Sieve) -> None:
    assert not sieve.admits(value_of(record))


def test_requests_about_something_else_are_dropped_when_repaired() -> None:
    value = value_of(activity_record(properties=activity_properties(requestUri="/users")))

    assert not REPAIRED.admits(value)
    assert FAITHFUL.admits(value)


def test_requests_without_a_client_request_id_are_dropped_when_faithful() -> None:
    value = value_of(owned({"RequestUri": "/users"}))

    assert not FAITHFUL.admits(value)


@SIEVES
@pytest.mark.parametrize(
    ("word", "spelled"),
    [
        ("MobileAppAssignment", "\\u004dobileAppAssignment"),
        ("MobileAppAssignment", "MobileAppAssignmen\\u0074"),
        ("RiskLevel", "Ris\\u006bLevel"),
        ("ImpossibleTravelActivity", "Impossible\\u0054ravelActivity"),
        ("ImpossibleTravelActivity", "Impossible\\\\u0054ravelActivity"),
        ("ImpossibleTravelActivity", "Impossible\\u005cu0054ravelActivity"),
        ("ImpossibleTravelActivity", "Impossible\\u005Cu0054ravelActivity"),
        ("ImpossibleTravelActivity", "Impossible\\\\\\u0075" + "0054ravelActivity"),
        ("ImpossibleTravelActivity", "Impossible\\\\u\\u0030054ravelActivity"),
        ("ImpossibleTravelActivity", "Impossible\\\\u00\\u00354ravelActivity"),
        ("ImpossibleTravelActivity", "Impossible\\\\u005\\u0034ravelActivity"),
    ],
)
def test_a_word_spelled_with_an_escaped_letter_is_let_through(
    word: str, spelled: str, sieve: Sieve
) -> None:
    assert word
    assert sieve.admits(f'{{"x": "{spelled}"}}'.encode())


@SIEVES
@pytest.mark.parametrize(
    "between",
    [
        r"\":\"",
        r"\u0022:\u0022",
        r"\u0022\u003a\u0022",
        r"\u0022\u003A\u0022",
        r"\u0022\n:\r\t\u0022",
        r"\u0022\u000a:\u000D\u0009\u0020\u0022",
        r"\u0022  :   \u0022",
    ],
)
def test_whatever_may_stand_between_a_level_and_its_name_is_read_across(
    between: str, sieve: Sieve
) -> None:
    plain = json.dumps(json.dumps(identity_row(), separators=(",", ":")))
    text = plain.replace(r"RiskLevel\":\"High", f"RiskLevel{between}High")
    value = f'{{"category":"AdvancedHunting-IdentityInfo","properties":{text}}}'.encode()

    assert json.loads(json.loads(value)["properties"]) == identity_row()
    assert sieve.admits(value)


@SIEVES
def test_the_escapes_that_dotnet_writes_everywhere_do_not_open_a_value(sieve: Sieve) -> None:
    value = b'{"x": "\\u0022\\u003Cnull\\u003E\\u0022\\u0027\\u002B\\u0026\\u00e9\\n\\t"}'

    assert not sieve.admits(value)


@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_a_spot_is_the_end_of_a_decisive_word(kind: type) -> None:
    data = b"..MobileAppAssignment....ImpossibleTravelActivity.deviceAppManagement"

    assert REPAIRED.spots(kind(data)) == [21, 49, 69]


def test_spots_ascend_over_many_records_and_each_record_has_its_own() -> None:
    good, bad = value_of(hunting_record("IdentityInfo", identity_row())), b'{"RiskLevel":null}'
    data = b"".join([bad, good, good, bad, good])

    spots = REPAIRED.spots(data)

    first = len(bad)
    ranges = [
        (first, first + len(good)),
        (first + len(good), first + 2 * len(good)),
        (2 * first + 2 * len(good), len(data)),
    ]
    assert list(spots) == sorted(spots)
    assert all(any(start < spot <= end for spot in spots) for start, end in ranges)
    assert all(any(start < spot <= end for start, end in ranges) for spot in spots)


def test_a_sieve_forgets_what_it_saw_before() -> None:
    assert REPAIRED.spots(b"MobileAppAssignment") == [19]
    assert REPAIRED.spots(b"nothing") == []
    assert not REPAIRED.admits(b"nothing")


def test_a_value_of_900_kb_is_searched_to_its_end() -> None:
    value = b"x" * 900_000 + b"MobileAppAssignment"

    assert REPAIRED.admits(value)
    assert not REPAIRED.admits(value[:-1])


def test_a_sieve_that_follows_another_matching_lets_through_what_that_lets_through() -> None:
    sieve, elsewhere = Sieve(), value_of(activity_record(properties={"clientRequestId": "c"}))

    admitted = [sieve.admits(elsewhere)]
    for matching in (Matching.FAITHFUL, Matching.FAITHFUL, Matching.REPAIRED):
        sieve.follow(matching)
        admitted.append(sieve.admits(elsewhere))

    assert admitted == [False, True, True, False]
