import json

import pytest
from builders import (
    ABSENT,
    DANA,
    DANA_ID,
    MONDAY,
    NOBODY_ID,
    OTHER_TENANT,
    TENANT,
    JsonObject,
    a_behavior,
    a_risk,
    behavior_row,
    decoded,
    hunting_record,
    identity_row,
    owned,
    sentinel_row,
    shifted,
    value_of,
)

from pipeline.core.evidence import BEHAVIORS_THAT_COUNT, Matching
from pipeline.core.model import Behavior, Risk
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Decoded, Ignored, Malformed, Why

NO_TIME = Malformed("Timestamp: no readable event time")
NO_TENANT = Malformed("tenantId: no tenant")
SENTINELS = pytest.mark.parametrize(
    "text", ["", None, ABSENT, "None", "<null>", "See Actor details in properties"]
)


def identity(**members: object) -> Decoded:
    return decoded(hunting_record("IdentityInfo", identity_row(**members)))


def behavior(**members: object) -> Decoded:
    return decoded(hunting_record("BehaviorEntities", behavior_row(**members)))


def the_risk(**members: object) -> Risk:
    found = identity(**members)
    assert isinstance(found, Risk), found
    return found


def the_behavior(**members: object) -> Behavior:
    found = behavior(**members)
    assert isinstance(found, Behavior), found
    return found


# IdentityInfo.


def test_an_identity_at_risk_becomes_a_risk() -> None:
    assert identity() == a_risk(level="High", object_id=DANA_ID)


def test_a_bare_row_of_advanced_hunting_becomes_the_same_risk() -> None:
    assert decoded(owned(identity_row())) == identity()


@pytest.mark.parametrize("level", ["Medium", "High", "high", "MEDIUM"])
def test_levels_are_taken_in_any_case_and_kept_as_they_came(level: str) -> None:
    assert the_risk(RiskLevel=level).level == level


@pytest.mark.parametrize("level", [None, "", "Low", "None", "Higher", " High", ["High"], ABSENT, 3])
def test_another_level_is_ignored_whatever_else_is_wrong(level: object) -> None:
    found = identity(RiskLevel=level, Timestamp=None, Type=None)

    assert found == Ignored(Why.NO_RISK)


@pytest.mark.parametrize("kind", ["ServiceAccount", "user", None, "IdentityInfo", ABSENT])
def test_an_identity_that_is_no_user_is_ignored_whatever_else_is_wrong(kind: object) -> None:
    assert identity(Type=kind, Timestamp=None) == Ignored(Why.NOT_A_USER)


@pytest.mark.parametrize("user_type", ["User", "Member", "Guest"])
def test_sentinels_variant_counts_for_users_members_and_guests(user_type: str) -> None:
    found = decoded(sentinel_row(UserType=user_type))

    assert found == a_risk(level="High", upn=DANA, account_upn="", object_id=DANA_ID)


@pytest.mark.parametrize("user_type", ["ServicePrincipal", "", None, "member", ABSENT])
def test_sentinels_variant_of_something_else_is_no_user(user_type: object) -> None:
    assert decoded(sentinel_row(UserType=user_type)) == Ignored(Why.NOT_A_USER)


def test_the_seed_joins_account_upn_of_a_user_alone() -> None:
    with_column = decoded(sentinel_row(AccountUpn=DANA))

    assert the_risk(AccountUpn=DANA).account_upn == DANA
    assert isinstance(with_column, Risk)
    assert with_column.account_upn == ""


@SENTINELS
def test_name_and_domain_make_a_upn_when_there_is_no_other(text: object) -> None:
    found = the_risk(AccountUpn=text, AccountName="dana.admin", AccountDomain="Example.org")

    assert found.upn == "dana.admin@Example.org"


@SENTINELS
def test_a_name_that_holds_a_whole_upn_is_one_when_there_is_no_other(text: object) -> None:
    found = the_risk(AccountUpn=text, AccountName=DANA, AccountDomain="elsewhere.example.org")

    assert found.upn == DANA


def test_a_upn_wins_over_name_and_domain() -> None:
    assert the_risk(AccountName="eve", AccountDomain="example.org").upn == DANA
    assert the_risk(AccountName="eve@example.org").upn == DANA


@SENTINELS
def test_a_text_of_nothing_makes_no_part_of_a_composed_name(text: object) -> None:
    assert the_risk(AccountUpn=None, AccountName=text, AccountDomain="example.org").upn == ""
    assert the_risk(AccountUpn=None, AccountName="dana.admin", AccountDomain=text).upn == ""


def test_a_text_of_nothing_is_kept_for_the_seeds_join() -> None:
    found = the_risk(AccountUpn="None", AccountName=None, AccountObjectId=None)

    assert (found.upn, found.account_upn) == ("", "None")


@pytest.mark.parametrize("object_id", [None, "", NOBODY_ID, ABSENT])
def test_a_risk_of_nobody_is_ignored_whatever_else_is_wrong(object_id: object) -> None:
    found = identity(AccountUpn=None, AccountName=None, AccountObjectId=object_id, Timestamp=None)

    assert found == Ignored(Why.NOBODY)


def test_object_ids_are_kept_in_lower_case() -> None:
    assert the_risk(AccountObjectId=DANA_ID.upper()).object_id == DANA_ID


# BehaviorEntities.


def test_a_behavior_of_a_user_becomes_a_behavior() -> None:
    assert behavior() == a_behavior()


def test_a_bare_row_of_behavior_entities_becomes_the_same_behavior() -> None:
    assert decoded(owned(behavior_row())) == behavior()


@pytest.mark.parametrize("action_type", sorted(BEHAVIORS_THAT_COUNT))
def test_the_five_action_types_count(action_type: str) -> None:
    assert the_behavior(ActionType=action_type).action_type == action_type


@pytest.mark.parametrize(
    "action_type", ["MassDownload", "impossibletravelactivity", "", None, ABSENT]
)
def test_another_action_type_is_ignored_whatever_else_is_wrong(action_type: object) -> None:
    found = behavior(ActionType=action_type, Timestamp=None, EntityType=None)

    assert found == Ignored(Why.OTHER_BEHAVIOR)


@pytest.mark.parametrize("entity", ["Ip", "CloudApplication", "user", None, ABSENT])
def test_another_entity_of_the_behavior_is_ignored_whatever_else_is_wrong(entity: object) -> None:
    assert behavior(EntityType=entity, Timestamp=None) == Ignored(Why.NOT_A_USER)


@SENTINELS
def test_a_behavior_names_its_user_like_a_risk(text: object) -> None:
    assert the_behavior(AccountUpn=text).upn == "dana.admin@example.org"
    assert the_behavior(AccountUpn=text, AccountName=DANA).upn == DANA


def test_the_account_name_is_kept_as_the_seeds_join_key() -> None:
    assert the_behavior(AccountName="None", AccountUpn=None).account_name == "None"
    assert the_behavior(AccountName=None).account_name == ""


@pytest.mark.parametrize("object_id", [None, NOBODY_ID])
def test_a_behavior_of_nobody_is_ignored_whatever_else_is_wrong(object_id: object) -> None:
    found = behavior(AccountUpn=None, AccountName=None, AccountObjectId=object_id, Timestamp=None)

    assert found == Ignored(Why.NOBODY)


def test_a_behavior_known_by_object_id_alone_counts() -> None:
    found = the_behavior(AccountUpn=None, AccountName=None, AccountObjectId=DANA_ID.upper())

    assert (found.upn, found.account_name, found.object_id) == ("", "", DANA_ID)


# What both have in common.

TABLES = pytest.mark.parametrize(
    ("table", "row"), [("IdentityInfo", identity_row()), ("BehaviorEntities", behavior_row())]
)


@TABLES
@pytest.mark.parametrize("matching", Matching)
def test_the_published_time_is_never_the_event_time(
    table: str, row: JsonObject, matching: Matching
) -> None:
    timeless = {**row, "Timestamp": None}

    assert decoded(hunting_record(table, timeless), matching) == NO_TIME
    assert decoded(hunting_record(table, {**row, "Timestamp": "yesterday"}), matching) == NO_TIME


@TABLES
def test_time_generated_stands_in_for_a_missing_timestamp(table: str, row: JsonObject) -> None:
    later = "2026-03-02T09:12:41.5530001Z"

    stood_in = decoded(hunting_record(table, {**row, "Timestamp": None, "TimeGenerated": later}))
    beside = decoded(hunting_record(table, {**row, "TimeGenerated": later}))

    assert isinstance(stood_in, Risk | Behavior)
    assert isinstance(beside, Risk | Behavior)
    assert (stood_in.event_time, beside.event_time) == (shifted(MONDAY, plus_ticks=1), MONDAY)


@TABLES
def test_the_envelopes_tenant_wins_over_the_rows(table: str, row: JsonObject) -> None:
    found = decoded(hunting_record(table, {**row, "TenantId": OTHER_TENANT}))

    assert isinstance(found, Risk | Behavior)
    assert found.tenant_id == TENANT


@TABLES
@pytest.mark.parametrize("tenant", [None, "", "<null>", ABSENT])
def test_the_rows_tenant_stands_in_for_a_missing_one(
    table: str, row: JsonObject, tenant: object
) -> None:
    found = decoded(hunting_record(table, owned(row, TENANT.upper()), tenantId=tenant))

    assert isinstance(found, Risk | Behavior)
    assert found.tenant_id == TENANT


@TABLES
def test_a_record_that_matters_without_any_tenant_is_a_dead_letter(
    table: str, row: JsonObject
) -> None:
    assert decoded(hunting_record(table, row, tenantId=ABSENT)) == NO_TENANT
    assert decoded(row) == NO_TENANT


@TABLES
def test_properties_given_as_text_are_read(table: str, row: JsonObject) -> None:
    whole = decoded(hunting_record(table, row))

    assert decoded(hunting_record(table, json.dumps(row))) == whole
    assert decoded(hunting_record(table, json.dumps(json.dumps(row)))) == whole


@TABLES
def test_properties_that_cannot_be_read_are_a_dead_letter(table: str, row: JsonObject) -> None:
    broken = json.dumps(row)[:-1]

    assert decoded(hunting_record(table, broken)) == Malformed("properties: not JSON")


@TABLES
@pytest.mark.parametrize("stored", [None, [], 5, "5", ABSENT])
def test_properties_of_another_shape_are_ignored(
    table: str, row: JsonObject, stored: object
) -> None:
    assert row
    assert decoded(hunting_record(table, stored)) == Ignored(Why.UNKNOWN_SHAPE)


@TABLES
def test_a_workspace_is_mapped_to_its_tenant(table: str, row: JsonObject) -> None:
    workspace = "0A5D7C2E-workspace"
    decode = Decoder(workspaces={workspace.lower(): TENANT})

    (found,) = decode(value_of(owned(row, workspace)))

    assert found.decoded == decoded(hunting_record(table, row))
    assert found.unmapped_workspace == ""


@TABLES
def test_a_workspace_without_an_entry_is_taken_as_the_tenant_and_named(
    table: str, row: JsonObject
) -> None:
    (found,) = Decoder()(value_of(owned(row, TENANT.upper())))

    assert found.decoded == decoded(hunting_record(table, row))
    assert found.unmapped_workspace == TENANT
