import pytest
from builders import (
    A_GROUP,
    ABSENT,
    ALL_DEVICES,
    ALL_USERS,
    EVENT,
    REQUIRED,
    TENANT,
    JsonObject,
    a_target,
    an_assignment,
    audit_properties,
    audit_record,
    audit_row,
    hunting_record,
    identity_row,
    modified,
    value_of,
)

from pipeline.sources.conditions import (
    Condition,
    conditions_met,
    conditions_of,
    owner_of,
    stated_id,
    unreadable_text,
)
from pipeline.sources.decode import taken_apart
from pipeline.sources.outcome import Malformed

NAMES = [
    "record",
    "table",
    "operation",
    "result",
    "properties",
    "readable",
    "intent",
    "target_type",
    "one_group",
    "audit_event_id",
    "event_time",
    "tenant",
]


def of(record: object) -> dict[str, Condition]:
    [(_, part)] = taken_apart(value_of(record))
    return {one.name: one for one in conditions_of(part, {"ws-1": "tenant-1"})}


def with_targets(*targets: object) -> JsonObject:
    return audit_record(properties=audit_properties(Targets=list(targets)))


@pytest.mark.parametrize("record", [audit_record(), audit_row()])
def test_of_an_assignment_every_condition_holds_and_says_what_was_found(
    record: JsonObject,
) -> None:
    found = of(record)

    assert list(found) == NAMES
    assert all(one.holds is True for one in found.values())
    assert found["operation"].found == "Create MobileAppAssignment"
    assert found["result"].found == "Success"
    assert found["intent"].found == 'Required under "<null>"'
    assert found["target_type"].found == 'AllDevicesAssignmentTarget under "<null>"'
    assert found["audit_event_id"].found == EVENT
    assert found["tenant"].found.startswith(TENANT)


@pytest.mark.parametrize(
    ("record", "name", "found"),
    [
        (audit_record(category="OperationalLogs"), "table", "category OperationalLogs"),
        (audit_record(operationName="Delete X"), "operation", "Delete X"),
        (audit_record(operationName=ABSENT), "operation", ""),
        (audit_record(resultType="Failure"), "result", "Failure"),
        (audit_record(resultType="success"), "result", "success"),
        (audit_record(properties=""), "properties", ""),
        (audit_record(properties=ABSENT), "properties", ""),
        (audit_record(properties="{"), "readable", "not JSON"),
        (audit_record(properties=[1]), "readable", "[1]"),
        (audit_record(time="3/2/2026"), "event_time", "3/2/2026"),
        (audit_record(tenantId="None"), "tenant", ""),
    ],
)
def test_a_condition_that_fails_says_what_stood_in_its_place(
    record: JsonObject, name: str, found: str
) -> None:
    conditions = of(record)

    failed = {one.name for one in conditions.values() if one.holds is False}
    assert failed == {name}
    assert conditions[name].found == found


def test_an_audit_event_of_entra_is_not_of_this_table() -> None:
    table = of(audit_record(resourceId="/tenants/x/PROVIDERS/microsoft.aadiam"))["table"]

    assert table.holds is False
    assert "Entra" in table.found


def test_of_what_cannot_be_read_nothing_more_can_be_told() -> None:
    found = of(audit_record(properties="{"))

    assert [name for name in NAMES if found[name].holds is None] == [
        "intent",
        "target_type",
        "one_group",
        "audit_event_id",
    ]


@pytest.mark.parametrize("part", [Malformed("not JSON"), None, 5, "text", [1]])
def test_what_is_no_object_meets_no_condition(part: object) -> None:
    first, *others = conditions_of(part, {})  # type: ignore[arg-type]

    assert first.holds is False
    assert all(one.holds is None for one in others)


def test_a_target_for_a_group_alone_fails_by_its_type() -> None:
    found = of(with_targets(a_target(REQUIRED, A_GROUP)))

    assert (found["intent"].holds, found["target_type"].holds) == (True, False)
    assert found["target_type"].found == 'GroupAssignmentTarget under "<null>"'
    assert found["one_group"].found == 'Required under "<null>", everybody under none'


def test_an_app_made_available_fails_by_its_intent() -> None:
    found = of(with_targets(a_target(modified("Intent", "Available"), ALL_USERS)))

    assert (found["intent"].holds, found["target_type"].holds) == (False, True)
    assert found["intent"].found == 'Available under "<null>"'


def test_signals_in_two_groups_fail_together_and_say_which_group_has_which() -> None:
    found = of(with_targets(a_target(REQUIRED, name="A"), a_target(ALL_DEVICES, name="B")))

    assert (found["intent"].holds, found["target_type"].holds) == (True, True)
    assert found["one_group"].holds is False
    assert found["one_group"].found == 'Required under "A", everybody under "B"'


def test_signals_of_two_targets_in_one_group_hold_and_say_so() -> None:
    found = of(with_targets(a_target(REQUIRED), a_target(ALL_DEVICES)))

    assert found["one_group"].holds is True
    assert found["one_group"].found.endswith("two targets of one Name")


def test_a_workspace_that_the_policy_does_not_map_is_named_as_one() -> None:
    assert of(audit_row(TenantId="ws-1"))["tenant"].found == "tenant-1"
    assert "a workspace" in of(audit_row(TenantId="ws-2"))["tenant"].found


def test_an_event_without_an_id_has_one_of_its_content() -> None:
    found = of(audit_record(properties=audit_properties(AuditEventId=ABSENT)))

    assert found["audit_event_id"].holds is True
    assert found["audit_event_id"].found == "states none"


def test_a_long_value_is_shown_in_part() -> None:
    found = of(audit_record(operationName="x" * 5_000))["operation"].found

    assert len(found) < 200
    assert found.endswith("…")


def test_of_a_stored_assignment_every_condition_was_met() -> None:
    met = {one.name: one for one in conditions_met(an_assignment(split=True))}

    assert list(met) == NAMES
    assert all(one.holds is True for one in met.values())
    assert "two targets" in met["one_group"].found


def test_a_row_of_another_table_is_no_audit_event() -> None:
    assert of(hunting_record("IdentityInfo", identity_row()))["table"].holds is False


@pytest.mark.parametrize(
    ("part", "stated", "unreadable"),
    [
        (audit_record(), EVENT, ""),
        (audit_record(properties="{" + EVENT), "", "{" + EVENT),
        (audit_record(properties="[]"), "", ""),
        (audit_record(properties=None), "", ""),
        (Malformed("not JSON"), "", ""),
        (5, "", ""),
    ],
)
def test_an_id_is_read_where_it_can_be_read(part: object, stated: str, unreadable: str) -> None:
    assert stated_id(part) == stated  # type: ignore[arg-type]
    assert unreadable_text(part) == unreadable  # type: ignore[arg-type]


def test_a_record_belongs_to_whom_it_names() -> None:
    assert owner_of(audit_record(), {}).tenant_id == TENANT
    assert owner_of(hunting_record("IdentityInfo", {}), {}).tenant_id == TENANT
    assert owner_of(Malformed("not JSON"), {}).tenant_id == ""
