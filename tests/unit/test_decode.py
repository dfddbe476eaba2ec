import json

import pytest
from builders import (
    ABSENT,
    OTHER_TENANT,
    TENANT,
    JsonObject,
    activity_properties,
    activity_record,
    audit_properties,
    audit_record,
    audit_row,
    behavior_row,
    decoded,
    envelope,
    graph_row,
    hunting_record,
    identity_row,
    owned,
    sentinel_row,
    value_of,
)

from pipeline.core.evidence import Matching
from pipeline.core.model import Assignment, Behavior, GraphRequest, Risk
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Decoded, Ignored, Malformed, Record, Why

UNKNOWN_SHAPE = Ignored(Why.UNKNOWN_SHAPE)
NOT_JSON = Malformed("not JSON")
NOT_AN_OBJECT = Malformed("not an object")

decode = Decoder()


def outcomes(value: bytes) -> list[tuple[int | None, Decoded]]:
    return [(record.index, record.decoded) for record in decode(value)]


@pytest.mark.parametrize("value", [None, b"", b"  \n\t"])
def test_an_empty_value_is_ignored(value: bytes | None) -> None:
    assert decode(value) == [Record(None, Ignored(Why.EMPTY))]


@pytest.mark.parametrize("value", [b"{", b'{"records": [', b"\xff\xfe{}", b"nonsense", b"1\n2"])
def test_a_value_that_is_no_json_is_one_dead_letter_of_the_whole(value: bytes) -> None:
    assert decode(value) == [Record(None, NOT_JSON)]


def test_a_bare_record_has_no_index() -> None:
    ((index, found),) = outcomes(value_of(audit_record()))

    assert index is None
    assert isinstance(found, Assignment)


def test_records_of_an_envelope_are_counted_from_zero() -> None:
    found = outcomes(envelope(audit_record(), 5, hunting_record("IdentityInfo", identity_row())))

    assert [index for index, _ in found] == [0, 1, 2]
    assert [type(one) for _, one in found] == [Assignment, Malformed, Risk]


def test_an_envelope_of_one_record_gives_it_an_index() -> None:
    assert [index for index, _ in outcomes(envelope(audit_record()))] == [0]


def test_an_empty_envelope_and_an_empty_array_hold_no_record() -> None:
    assert decode(envelope()) == []
    assert decode(b"[]") == []


def test_in_an_array_of_envelopes_the_index_runs_through_all_of_them() -> None:
    envelopes = [
        {"records": [audit_record(), 5], "PartitionId": 1},
        {"records": []},
        {"records": "none"},
        {"records": [audit_record()]},
        audit_record(),
        [audit_record()],
    ]

    found = outcomes(value_of(envelopes))

    assert [index for index, _ in found] == [0, 1, 2, 3, 4, 5]
    assert found[1] == (1, NOT_AN_OBJECT)
    assert found[2] == (2, Malformed("records: not an array"))
    assert found[5] == (5, NOT_AN_OBJECT)
    assert all(isinstance(found[place][1], Assignment) for place in (0, 3, 4))


@pytest.mark.parametrize("records", [None, "x", 5, {}, {"0": audit_record()}])
def test_records_that_are_no_array_are_a_dead_letter_of_the_whole(records: object) -> None:
    assert outcomes(value_of({"records": records})) == [(None, Malformed("records: not an array"))]


@pytest.mark.parametrize("record", [None, 5, "text", [], True])
def test_a_record_that_is_no_object_is_a_dead_letter(record: object) -> None:
    assert outcomes(value_of(record)) in ([(None, NOT_AN_OBJECT)], [])
    assert outcomes(envelope(record)) == [(0, NOT_AN_OBJECT)]


@pytest.mark.parametrize("between", [b"\n", b"\r\n", b"\n\n  \n"])
def test_newline_separated_records_in_one_value_are_read(between: bytes) -> None:
    value = between.join([value_of(audit_record()), value_of(owned(identity_row()))])

    found = outcomes(value + b"\n")

    assert [(index, type(one)) for index, one in found] == [(0, Assignment), (1, Risk)]


def test_newline_separated_envelopes_are_counted_through() -> None:
    value = envelope(audit_record(), 5) + b"\n" + envelope(audit_record())

    assert [index for index, _ in outcomes(value)] == [0, 1, 2]


def test_a_broken_line_is_a_dead_letter_and_its_neighbours_are_read() -> None:
    value = b"\n".join([value_of(audit_record()), b'{"broken', value_of(audit_record())])

    found = outcomes(value)

    assert found[1] == (1, NOT_JSON)
    assert [type(found[place][1]) for place in (0, 2)] == [Assignment, Assignment]


def test_a_poison_record_leaves_its_neighbours_alone() -> None:
    poison = [5, None, audit_record(time="?"), audit_record(properties="{"), {"category": 7}]

    found = outcomes(envelope(audit_record(), *poison, audit_record()))

    assert [index for index, _ in found] == list(range(7))
    assert isinstance(found[0][1], Assignment)
    assert isinstance(found[-1][1], Assignment)


# Classified by content.


@pytest.mark.parametrize(
    ("record", "fact"),
    [
        (audit_record(), Assignment),
        (audit_record(category="auditlogs"), Assignment),
        (audit_record(category=ABSENT), Assignment),
        (audit_record(category=None), Assignment),
        (audit_record(category=""), Assignment),
        (audit_row(), Assignment),
        (hunting_record("IdentityInfo", identity_row()), Risk),
        (hunting_record("identityinfo", identity_row()), Risk),
        (hunting_record("IdentityInfo", identity_row(), category=ABSENT), Risk),
        (owned(identity_row()), Risk),
        (sentinel_row(), Risk),
        (hunting_record("IdentityInfo", sentinel_row()), Risk),
        (hunting_record("BehaviorEntities", behavior_row()), Behavior),
        (hunting_record("BehaviorEntities", behavior_row(), category=ABSENT), Behavior),
        (owned(behavior_row()), Behavior),
        (hunting_record("GraphAPIAuditEvents", graph_row()), GraphRequest),
        (hunting_record("GraphAPIAuditEvents", graph_row(), category=ABSENT), GraphRequest),
        (owned(graph_row()), GraphRequest),
        (activity_record(), GraphRequest),
        (activity_record(category=ABSENT), GraphRequest),
        (activity_record(properties=json.dumps(activity_properties())), GraphRequest),
    ],
)
def test_a_record_is_known_by_its_category_else_by_its_shape(
    record: JsonObject, fact: type
) -> None:
    assert isinstance(decoded(record), fact)
    assert [type(one.decoded) for one in decode(envelope(record, record))] == [fact, fact]


@pytest.mark.parametrize("category", ["OperationalLogs", "AdvancedHunting-BehaviorInfo", 5, ["x"]])
def test_a_record_of_another_category_is_ignored_whatever_it_holds(category: object) -> None:
    assert decoded(audit_record(category=category)) == Ignored(Why.OTHER_CATEGORY)
    assert decoded({"category": category}) == Ignored(Why.OTHER_CATEGORY)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"a": 1},
        {"properties": {}},
        {"properties": {"a": 1}},
        {"properties": None},
        {"properties": "{"},
        {"properties": "5"},
        {"operationName": "Add user", "properties": {}},
        {"OperationName": "Create MobileAppAssignment", "ResultType": "Success"},
        {"Properties": "{}"},
    ],
)
def test_an_object_of_no_known_shape_is_ignored(record: JsonObject) -> None:
    assert decoded(record) == UNKNOWN_SHAPE


def test_unreadable_properties_of_an_assignment_without_category_are_a_dead_letter() -> None:
    record = audit_record(category=ABSENT, properties="{")

    assert decoded(record) == Malformed("Properties: not JSON")


def test_without_a_category_the_rules_of_the_table_hold_all_the_same() -> None:
    timeless = hunting_record("IdentityInfo", identity_row(Timestamp=None), category=ABSENT)
    elsewhere = activity_record(
        category=ABSENT, properties=activity_properties(requestUri="/users")
    )

    assert decoded(timeless) == Malformed("Timestamp: no readable event time")
    assert decoded(elsewhere) == Ignored(Why.OTHER_REQUEST)
    assert isinstance(Decoder(Matching.FAITHFUL)(value_of(elsewhere))[0].decoded, GraphRequest)


def test_a_behavior_info_row_names_no_entity_and_is_ignored() -> None:
    row = behavior_row(EntityType=ABSENT)

    assert decoded(owned(row)) == Ignored(Why.NOT_A_USER)


# Whose workspace it is.


def test_the_workspace_of_an_audit_row_is_mapped_to_its_tenant() -> None:
    with_workspace = Decoder(workspaces={"workspace-1": TENANT})

    (found,) = with_workspace(value_of(audit_row(TenantId="WORKSPACE-1")))

    assert found == Record(None, decoded(audit_record()))


def test_a_row_that_names_its_tenant_itself_has_no_workspace() -> None:
    row = audit_row(TenantId="workspace-1", tenantId=TENANT)

    assert decode(value_of(row)) == [Record(None, decoded(audit_record()))]


def test_only_rows_that_became_facts_name_an_unmapped_workspace() -> None:
    def unmapped(row: JsonObject) -> str:
        return decode(value_of(row))[0].unmapped_workspace

    assert unmapped(audit_row(TenantId="Workspace-1")) == "workspace-1"
    assert unmapped(audit_row(TenantId="workspace-1", TimeGenerated="?")) == ""
    assert unmapped(audit_row(TenantId="workspace-1", ResultType="Failure")) == ""


def test_the_tenant_of_a_diagnostic_record_is_no_workspace() -> None:
    with_workspace = Decoder(workspaces={OTHER_TENANT: TENANT})
    record = hunting_record("IdentityInfo", owned(identity_row(), OTHER_TENANT), tenantId=ABSENT)

    (found,) = with_workspace(value_of(record))

    assert isinstance(found.decoded, Risk)
    assert found.decoded.tenant_id == OTHER_TENANT
    assert found.unmapped_workspace == ""


def test_unknown_members_change_nothing() -> None:
    properties = audit_properties(additionalDetails=[], loggedByService="x")

    assert decoded(audit_record(properties=properties, extra={})) == decoded(audit_record())
