import dataclasses
import json

import pytest
from builders import (
    A_GROUP,
    ABSENT,
    ALL_DEVICES,
    ALL_USERS,
    DANA,
    DANA_ID,
    EVENT,
    MONDAY,
    NOBODY_ID,
    OTHER_TENANT,
    PARTNER,
    REQUEST,
    REQUIRED,
    TENANT,
    JsonObject,
    a_target,
    actor_object,
    assignment_in,
    audit_properties,
    audit_record,
    audit_row,
    decoded,
    modified,
    shifted,
    value_of,
)

from pipeline.core.evidence import Matching
from pipeline.core.model import Actor, App, Assignment
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored, Malformed, Why

NOT_FOR_EVERYBODY = Ignored(Why.NOT_FOR_EVERYBODY)
BOTH = pytest.mark.parametrize("matching", Matching)


def the_assignment(document: object, matching: Matching = Matching.REPAIRED) -> Assignment:
    found = decoded(document, matching)
    assert isinstance(found, Assignment), found
    return found


def with_properties(**members: object) -> JsonObject:
    return audit_record(properties=audit_properties(**members))


def with_actor(**members: object) -> JsonObject:
    return with_properties(Actor=actor_object(**members))


@BOTH
def test_a_diagnostic_record_becomes_an_assignment(matching: Matching) -> None:
    assert the_assignment(audit_record(), matching) == Assignment(
        tenant_id=TENANT,
        audit_event_id=EVENT,
        event_time=MONDAY,
        operation="Create MobileAppAssignment",
        identity=DANA,
        correlation_id=REQUEST,
        target_types=("AllDevicesAssignmentTarget",),
        split_signals=False,
        actor=Actor(
            upn=DANA,
            object_id=DANA_ID,
            application_id="5926fc8e-304e-4f59-8bed-58ca97cc39a4",
            application_name="Microsoft Intune portal extension",
        ),
        app=App(name="Remote Helper 4.2", object_id="0e9f4c1a-7b52-4c8d-b1a6-9d3f2e5a7c44"),
    )


@BOTH
def test_a_row_of_the_table_becomes_the_same_assignment(matching: Matching) -> None:
    assert the_assignment(audit_row(), matching) == the_assignment(audit_record(), matching)


@pytest.mark.parametrize("times", range(4))
def test_properties_may_be_an_object_a_text_or_a_text_in_a_text(times: int) -> None:
    stored: object = audit_properties()
    for _ in range(times):
        stored = json.dumps(stored, indent=1)

    assert the_assignment(audit_record(properties=stored)) == the_assignment(audit_record())


def test_a_patch_counts_like_a_create() -> None:
    found = the_assignment(audit_record(operationName="Patch MobileAppAssignment"))

    assert found.operation == "Patch MobileAppAssignment"


@pytest.mark.parametrize(
    "record",
    [
        audit_record(operationName="Delete MobileAppAssignment"),
        audit_record(operationName="Create mobileAppAssignment"),
        audit_record(operationName=None),
        audit_record(operationName=["Create MobileAppAssignment"]),
        audit_record(resultType="Failure"),
        audit_record(resultType="success"),
        audit_record(resultType=ABSENT),
    ],
)
def test_another_operation_or_result_is_ignored(record: JsonObject) -> None:
    assert decoded(record) == Ignored(Why.OTHER_OPERATION)


@pytest.mark.parametrize("stored", [None, "", ABSENT])
def test_an_event_with_empty_properties_is_ignored(stored: object) -> None:
    assert decoded(audit_record(properties=stored)) == Ignored(Why.NO_PROPERTIES)


@pytest.mark.parametrize("stored", ["{", "not json", "   ", json.dumps('{"a"')])
def test_unreadable_properties_of_a_successful_create_are_a_dead_letter(stored: str) -> None:
    assert decoded(audit_record(properties=stored)) == Malformed("Properties: not JSON")


@pytest.mark.parametrize("record", [{"operationName": "Delete X"}, {"resultType": "Failure"}])
def test_unreadable_properties_of_another_event_are_ignored(record: JsonObject) -> None:
    assert isinstance(decoded(audit_record(properties="{", **record)), Ignored)


@pytest.mark.parametrize(
    "stored", [{}, [], 5, True, "5", "[]", "{}", '"plain"', "null", {"targets": []}]
)
def test_readable_properties_of_another_shape_are_ignored(stored: object) -> None:
    assert decoded(audit_record(properties=stored)) == NOT_FOR_EVERYBODY


def test_an_event_for_a_group_is_ignored_whatever_else_is_wrong_with_it() -> None:
    properties = audit_properties(Targets=[a_target(A_GROUP, REQUIRED)])

    found = decoded(audit_record(properties=properties, time="?", tenantId=ABSENT))

    assert found == NOT_FOR_EVERYBODY


@pytest.mark.parametrize("time", [None, "", "3/2/2026 9:12:41 AM", 1_772_442_761, ABSENT])
def test_an_assignment_without_a_readable_time_is_a_dead_letter(time: object) -> None:
    assert decoded(audit_record(time=time)) == Malformed("time: no readable event time")


@pytest.mark.parametrize("tenant", [None, "", "<null>", "None", ABSENT])
def test_an_assignment_without_a_tenant_is_a_dead_letter(tenant: object) -> None:
    assert decoded(audit_record(tenantId=tenant)) == Malformed("tenantId: no tenant")


def test_activity_date_is_never_the_event_time() -> None:
    properties = audit_properties(ActivityDate="2020-01-01T00:00:00Z")

    assert the_assignment(audit_record(properties=properties)).event_time == MONDAY


def test_the_event_time_keeps_seven_digits() -> None:
    found = the_assignment(audit_record(time="2026-03-02T09:12:41.5530001Z"))

    assert found.event_time == shifted(MONDAY, plus_ticks=1)


def test_tenants_are_compared_in_lower_case() -> None:
    assert the_assignment(audit_record(tenantId=TENANT.upper())).tenant_id == TENANT


# How mv-expand and mv-apply read Targets and ModifiedProperties.


@BOTH
@pytest.mark.parametrize(
    ("signal", "target_type"),
    [(ALL_DEVICES, "AllDevicesAssignmentTarget"), (ALL_USERS, "AllLicensedUsersAssignmentTarget")],
)
def test_one_target_with_both_signals_is_enough(
    signal: JsonObject, target_type: str, matching: Matching
) -> None:
    found = the_assignment(with_properties(Targets=[a_target(signal, REQUIRED)]), matching)

    assert (found.target_types, found.split_signals) == ((target_type,), False)


@BOTH
@pytest.mark.parametrize("name", ["<null>", "Group A", 7, 7.5, True, False])
def test_targets_of_one_name_share_their_signals(name: object, matching: Matching) -> None:
    targets = [a_target(REQUIRED, name=name), a_target(ALL_DEVICES, name=name)]

    assert the_assignment(with_properties(Targets=targets), matching).split_signals


@BOTH
@pytest.mark.parametrize(("number", "text"), [(7, "7"), (True, "true")])
def test_a_name_that_is_a_number_groups_under_its_text(
    number: object, text: str, matching: Matching
) -> None:
    targets = [a_target(REQUIRED, name=number), a_target(ALL_DEVICES, name=text)]

    assert the_assignment(with_properties(Targets=targets), matching).split_signals


@BOTH
@pytest.mark.parametrize("name", ["", None])
def test_targets_without_a_name_are_groups_of_their_own(name: object, matching: Matching) -> None:
    apart = [a_target(REQUIRED, name=name), a_target(ALL_DEVICES, name=name)]
    together = [a_target(REQUIRED, ALL_DEVICES, name=name)]

    assert decoded(with_properties(Targets=apart), matching) == NOT_FOR_EVERYBODY
    assert not the_assignment(with_properties(Targets=together), matching).split_signals


def test_a_target_without_the_member_name_is_a_group_of_its_own() -> None:
    nameless = {"ModifiedProperties": [REQUIRED, ALL_DEVICES]}

    assert isinstance(assignment_in([nameless]), Assignment)


def test_names_are_compared_exactly() -> None:
    assert assignment_in([a_target(REQUIRED, name="a"), a_target(ALL_DEVICES, name="A")]) == (
        NOT_FOR_EVERYBODY
    )


@pytest.mark.parametrize("targets", [[], {}, None, "text", 5, [None], [5], ["text"], [[]], ABSENT])
def test_targets_that_hold_no_object_are_ignored(targets: object) -> None:
    assert assignment_in(targets) == NOT_FOR_EVERYBODY


def test_a_target_that_is_no_object_leaves_its_neighbours_alone() -> None:
    found = assignment_in([None, 5, "text", [], a_target(ALL_DEVICES, REQUIRED)])

    assert isinstance(found, Assignment)


def test_targets_given_as_one_object_expand_to_bags_of_one_property() -> None:
    found = assignment_in(a_target(ALL_DEVICES, REQUIRED, name="Group A"))

    assert isinstance(found, Assignment)
    assert not found.split_signals


def test_bags_of_one_property_have_no_name_in_common() -> None:
    assert assignment_in({"Name": "A", "ModifiedProperties": [REQUIRED]}) == NOT_FOR_EVERYBODY


@pytest.mark.parametrize(
    "properties",
    [
        None,
        [],
        {},
        "text",
        [None, 5, "Intent"],
        {"Name": "Intent", "New": "Required"},
        {"a": REQUIRED, "b": ALL_DEVICES},
        [[REQUIRED, ALL_DEVICES]],
    ],
)
def test_modified_properties_that_expand_to_no_signal_are_none(properties: object) -> None:
    assert assignment_in([{"Name": "A", "ModifiedProperties": properties}]) == NOT_FOR_EVERYBODY


def test_a_modified_property_that_is_no_object_leaves_its_neighbours_alone() -> None:
    properties: list[object] = [None, 5, "x", [], REQUIRED, ALL_DEVICES]

    assert isinstance(assignment_in([{"Name": "A", "ModifiedProperties": properties}]), Assignment)


@pytest.mark.parametrize(
    ("intent", "target_type"),
    [
        (modified("Intent", ["Required"]), ALL_DEVICES),
        (modified("Intent", {"a": "Required"}), ALL_DEVICES),
        (modified("Intent", "required"), ALL_DEVICES),
        (modified("Intent", None), ALL_DEVICES),
        ({"Name": "Intent", "Old": "Required", "New": None}, ALL_DEVICES),
        ({"name": "Intent", "new": "Required"}, ALL_DEVICES),
        (REQUIRED, modified("Target.Type", "GroupAssignmentTarget")),
        (REQUIRED, modified("Target.Type", ["AllDevicesAssignmentTarget"])),
        (REQUIRED, {**ALL_DEVICES, "Name": ["Target.Type"]}),
        (REQUIRED, {"Name": "$Collection.Target.Type[0]", "New": "AllDevicesAssignmentTarget"}),
    ],
)
def test_a_signal_counts_to_the_letter(intent: JsonObject, target_type: JsonObject) -> None:
    assert assignment_in([a_target(intent, target_type)]) == NOT_FOR_EVERYBODY


# The actor.


@BOTH
@pytest.mark.parametrize(
    ("flag", "delegated"),
    [(True, True), (False, False), ("true", False), (1, False), (None, False), (ABSENT, False)],
)
def test_only_json_true_is_a_delegated_admin(
    flag: object, matching: Matching, *, delegated: bool
) -> None:
    found = the_assignment(with_actor(IsDelegatedAdmin=flag), matching)

    assert found.actor.is_delegated_admin is delegated


@BOTH
def test_an_actor_given_as_json_text_is_read(matching: Matching) -> None:
    as_text = json.dumps(actor_object(IsDelegatedAdmin=True))

    found = the_assignment(with_properties(Actor=as_text), matching)

    assert found.actor == the_assignment(with_actor(IsDelegatedAdmin=True), matching).actor
    assert found.actor.is_delegated_admin


@pytest.mark.parametrize("actor", [None, ABSENT, "", "dana", "{", "5", 5, [], [{"UPN": DANA}]])
def test_an_actor_of_another_shape_names_nobody(actor: object) -> None:
    assert the_assignment(with_properties(Actor=actor)).actor == Actor()


@BOTH
@pytest.mark.parametrize("text", ["", "<null>", "none", "SEE ACTOR DETAILS IN PROPERTIES", None])
def test_texts_of_nothing_make_no_part_of_an_actor(text: object, matching: Matching) -> None:
    record = with_actor(
        UPN=text, ObjectId=text, PartnerTenantId=text, Application=text, ApplicationName=text
    )

    assert the_assignment(record, matching).actor == Actor()


@BOTH
def test_the_all_zero_object_id_is_nobody(matching: Matching) -> None:
    found = the_assignment(with_actor(ObjectId=NOBODY_ID, PartnerTenantId=NOBODY_ID), matching)

    assert (found.actor.object_id, found.actor.partner_tenant_id) == ("", "")


def test_object_ids_are_kept_in_lower_case_and_upns_as_they_came() -> None:
    record = with_actor(UPN=DANA.upper(), ObjectId=DANA_ID.upper(), PartnerTenantId=PARTNER.upper())

    actor = the_assignment(record).actor

    assert (actor.upn, actor.object_id) == (DANA.upper(), DANA_ID)
    assert actor.partner_tenant_id == PARTNER


@pytest.mark.parametrize("identity", ["See Actor details in properties", "None", DANA.upper()])
def test_the_identity_is_kept_as_it_came(identity: str) -> None:
    assert the_assignment(audit_record(identity=identity)).identity == identity


def test_a_missing_identity_and_correlation_id_are_empty() -> None:
    found = the_assignment(audit_record(identity=None, correlationId=ABSENT))

    assert (found.identity, found.correlation_id) == ("", "")


# The app.


@pytest.mark.parametrize(
    ("names", "ids", "app"),
    [
        (["A", "<null>"], ["ID-1", "ID-2"], App("A", "id-1")),
        (["<null>", None, "", "B"], ["1", "2", "3", "4"], App("B", "4")),
        (["A"], [], App("A")),
        (["A"], None, App("A")),
        (["A"], [None], App("A")),
        (["<null>"], ["1"], App("Remote Helper 4.2")),
        (None, None, App("Remote Helper 4.2")),
        ("A", "1", App("Remote Helper 4.2")),
    ],
)
def test_the_app_is_the_first_target_with_a_name_of_its_own(
    names: object, ids: object, app: App
) -> None:
    record = with_properties(TargetDisplayNames=names, TargetObjectIds=ids)

    assert the_assignment(record).app == app


def test_an_app_that_nobody_names_is_none() -> None:
    record = with_properties(TargetDisplayNames=[], Targets=[5, a_target(ALL_DEVICES, REQUIRED)])

    assert the_assignment(record).app == App()


# The id.


@BOTH
@pytest.mark.parametrize("event_id", [ABSENT, None, "", "<null>", "None"])
def test_an_event_without_an_id_gets_one_from_its_content(
    event_id: object, matching: Matching
) -> None:
    found = the_assignment(with_properties(AuditEventId=event_id), matching)

    assert found.audit_event_id.startswith("no-id:")


def test_the_derived_id_does_not_depend_on_how_properties_were_wrapped() -> None:
    properties = audit_properties(AuditEventId=ABSENT)
    backwards = dict(reversed(properties.items()))
    forms = [
        audit_record(properties=properties),
        audit_record(properties=backwards),
        audit_record(properties=json.dumps(properties, indent=2)),
        audit_record(properties=json.dumps(json.dumps(backwards))),
        audit_row(Properties=json.dumps(properties), TenantId=TENANT.upper()),
    ]

    assert len({the_assignment(one).audit_event_id for one in forms}) == 1


def test_the_derived_id_comes_of_tenant_time_operation_identity_request_and_properties() -> None:
    properties = audit_properties(AuditEventId=ABSENT)
    others = [
        audit_record(properties=properties),
        audit_record(properties=properties, tenantId=OTHER_TENANT),
        audit_record(properties=properties, time="2026-03-02T09:12:41.5530001Z"),
        audit_record(properties=properties, operationName="Patch MobileAppAssignment"),
        audit_record(properties=properties, identity="eve@example.org"),
        audit_record(properties=properties, correlationId="another"),
        audit_record(properties={**properties, "RelationId": 1}),
    ]

    ids = {the_assignment(one).audit_event_id for one in others}

    assert len(ids) == len(others)


def test_the_derived_id_ignores_what_is_not_part_of_it() -> None:
    record = audit_record(properties=audit_properties(AuditEventId=ABSENT))

    again = {**record, "resultDescription": "other", "extra": 1}

    assert the_assignment(again) == the_assignment(record)


def test_copies_with_another_time_are_variants_of_one_assignment() -> None:
    copy = the_assignment(audit_record(time="2026-03-02T09:19:00Z"))
    first = the_assignment(audit_record())

    assert copy.id == first.id
    assert dataclasses.replace(copy, event_time=first.event_time) == first


# Entra's AuditLogs share the category.


@pytest.mark.parametrize(
    "resource",
    [f"/tenants/{TENANT}/providers/Microsoft.aadiam", "/TENANTS/T/PROVIDERS/MICROSOFT.AADIAM"],
)
def test_a_record_of_entras_audit_log_is_told_from_intunes(resource: str) -> None:
    assert decoded(audit_record(resourceId=resource)) == Ignored(Why.ENTRA_AUDIT)


def test_a_target_nested_beyond_all_reason_is_read_and_harms_nobody() -> None:
    record = with_properties(
        Targets=[{"x": "HERE", "ModifiedProperties": [REQUIRED, ALL_DEVICES]}],
        AuditEventId=ABSENT,
    )
    value = value_of(record).replace(b'"HERE"', b"[" * 1000 + b"]" * 1000)

    (found,) = Decoder()(value)

    assert isinstance(found.decoded, Assignment)
