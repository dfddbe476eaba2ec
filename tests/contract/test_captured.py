"""Real records: each becomes a fact, or is ignored for exactly the right reason."""

from pathlib import Path
from typing import Final

import pytest

from pipeline.core.event_time import parse_event_time
from pipeline.core.evidence import Matching
from pipeline.core.model import Behavior, Risk
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Decoded, Ignored, Why
from pipeline.sources.sieve import Sieve

CAPTURED = Path(__file__).parents[2].parent / "shared" / "captured"

pytestmark = pytest.mark.skipif(
    not CAPTURED.is_dir(), reason="the folder of captured records is not beside this project"
)


def the_risk() -> Risk:
    at = parse_event_time("2026-07-18T15:00:40.115438Z")
    assert at is not None
    return Risk(
        tenant_id="4b8c18bd-2f9f-4227-af55-9f1061cf9c32",
        event_time=at,
        level="High",
        upn="g2o-seed-test@m7knio.onmicrosoft.com",
        account_upn="g2o-seed-test@m7knio.onmicrosoft.com",
        object_id="0a85025c-4238-4148-978f-587a8dd7960e",
    )


def the_behavior() -> Behavior:
    at = parse_event_time("2026-07-23T12:41:07.952Z")
    assert at is not None
    return Behavior(
        tenant_id="4b8c18bd-2f9f-4227-af55-9f1061cf9c32",
        event_time=at,
        behavior_id="oa4e429c5c782180ae5aeafb5a7c2cff29b62c458a000a84206ca5d548a72f1ff3",
        action_type="ImpossibleTravelActivity",
        upn="gadmin@rob-knight.com",
        account_name="gadmin",
    )


OTHER_OPERATION, OTHER_CATEGORY = Ignored(Why.OTHER_OPERATION), Ignored(Why.OTHER_CATEGORY)
OTHER_REQUEST = Ignored(Why.OTHER_REQUEST)
EXPECTED: Final[dict[str, list[tuple[str, Decoded]]]] = {
    "defender-behaviorentities.jsonl": [
        ("impossible travel of a user", the_behavior()),
        ("the application of the same behavior", Ignored(Why.NOT_A_USER)),
    ],
    "defender-identityinfo.jsonl": [
        ("a user without risk", Ignored(Why.NO_RISK)),
        ("a user of high risk", the_risk()),
    ],
    "entra-graph-activity.jsonl": [
        ("a request about teams", OTHER_REQUEST),
        ("a request about teams of another tenant", OTHER_REQUEST),
    ],
    "entra-other.jsonl": [
        ("Entra's audit log", Ignored(Why.ENTRA_AUDIT)),
        ("a risk event of Entra", OTHER_CATEGORY),
        ("another risk event of Entra", OTHER_CATEGORY),
    ],
    "intune-diagnostic.jsonl": [
        ("Rename device ManagedDevice", OTHER_OPERATION),
        ("Delete MobileAppAssignment", OTHER_OPERATION),
        ("Create ClientCertificate", OTHER_OPERATION),
        ("SetReference ManagedDevice", OTHER_OPERATION),
        ("OperationalLogs: Compliance", OTHER_CATEGORY),
        ("DeviceComplianceOrg", OTHER_CATEGORY),
        ("Devices", OTHER_CATEGORY),
        ("OperationalLogs: Enrollment", OTHER_CATEGORY),
        ("OperationalLogs: another Compliance", OTHER_CATEGORY),
    ],
}
MATCHINGS = pytest.mark.parametrize("matching", Matching)


def values_of(name: str) -> list[bytes]:
    return (CAPTURED / name).read_bytes().splitlines()


def test_every_captured_record_is_spelled_out_here() -> None:
    captured = {path.name: len(values_of(path.name)) for path in CAPTURED.glob("*.jsonl")}

    assert captured == {name: len(records) for name, records in EXPECTED.items()}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_captured_record_decodes_or_is_ignored_for_its_reason(name: str) -> None:
    decode = Decoder()

    found = [decode(value) for value in values_of(name)]

    assert [[(one.index, one.decoded) for one in records] for records in found] == [
        [(None, expected)] for _, expected in EXPECTED[name]
    ]


def test_faithful_a_request_about_anything_becomes_a_fact() -> None:
    decode = Decoder(Matching.FAITHFUL)

    records = [decode(value)[0].decoded for value in values_of("entra-graph-activity.jsonl")]

    assert [type(one).__name__ for one in records] == ["GraphRequest", "GraphRequest"]


@MATCHINGS
def test_what_the_sieve_drops_of_them_is_no_fact(matching: Matching) -> None:
    sieve, decode = Sieve(matching), Decoder(matching)

    for name in EXPECTED:
        for value in values_of(name):
            facts = [one for one in decode(value) if not isinstance(one.decoded, Ignored)]
            assert sieve.admits(value) or not facts
