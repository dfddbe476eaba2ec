import dataclasses
from datetime import timedelta

import pytest
from builders import (
    DANA,
    DANA_ID,
    MONDAY,
    OTHER_TENANT,
    PARTNER,
    TENANT,
    an_assignment,
    shifted,
)

from pipeline.core.evidence import Matching
from pipeline.core.model import Assignment
from pipeline.core.policy import AllowEntry, Policy, Reason, Severities, Severity, TenantPolicy
from pipeline.core.window import Window, Windows

UNTIL = shifted(MONDAY, timedelta(days=1))
ACCOUNT = AllowEntry(
    name="CHG-1",
    reasons=frozenset({Reason.USER_RISK, Reason.DELEGATED_ADMIN}),
    owner="soc@example.org",
    cause="planned",
    since=MONDAY,
    until=UNTIL,
    account=DANA.lower(),
)
OF_PARTNER = dataclasses.replace(
    ACCOUNT, account="", partner_tenant_id=PARTNER, reasons=frozenset({Reason.DELEGATED_ADMIN})
)


def test_an_account_entry_takes_the_reasons_that_it_names() -> None:
    assignment = an_assignment()

    taken = {one for one in Reason if ACCOUNT.takes(one, assignment, MONDAY)}

    assert taken == {Reason.USER_RISK, Reason.DELEGATED_ADMIN}


def test_an_entry_holds_from_since_until_just_before_until() -> None:
    def takes(plus_ticks: int) -> bool:
        at = shifted(MONDAY, plus_ticks=plus_ticks)
        return ACCOUNT.takes(Reason.USER_RISK, an_assignment(), at)

    length = UNTIL - MONDAY

    assert [takes(-1), takes(0), takes(length - 1), takes(length)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("assignment", "taken"),
    [
        (an_assignment(identity=DANA, upn="", object_id=""), True),
        (an_assignment(identity=DANA.upper(), upn="", object_id=""), True),
        (an_assignment(identity="", upn=DANA, object_id=""), True),
        (an_assignment(identity="", upn="", object_id=DANA_ID), False),
        (an_assignment(identity="eve@example.org", upn="", object_id=""), False),
    ],
)
def test_an_account_is_the_identity_or_the_upn_in_any_case(
    assignment: Assignment, *, taken: bool
) -> None:
    assert ACCOUNT.takes(Reason.USER_RISK, assignment, MONDAY) is taken


def test_an_account_may_be_an_object_id() -> None:
    entry = dataclasses.replace(ACCOUNT, account=DANA_ID)

    assert entry.takes(Reason.USER_RISK, an_assignment(identity="", upn=""), MONDAY)


@pytest.mark.parametrize("text", ["", "none", "<null>", "see actor details in properties"])
def test_an_account_of_nothing_takes_nothing(text: str) -> None:
    entry = dataclasses.replace(ACCOUNT, account=text)

    assert not entry.takes(Reason.USER_RISK, an_assignment(identity=text, upn=text), MONDAY)


def test_a_partner_entry_takes_from_that_partner_alone() -> None:
    def takes(partner: str) -> bool:
        assignment = an_assignment(delegated=True, partner=partner)
        return OF_PARTNER.takes(Reason.DELEGATED_ADMIN, assignment, MONDAY)

    assert [takes(PARTNER), takes(OTHER_TENANT), takes("")] == [True, False, False]


@pytest.mark.parametrize("entry", [ACCOUNT, OF_PARTNER])
def test_an_entry_with_tenants_holds_in_those_alone(entry: AllowEntry) -> None:
    scoped = dataclasses.replace(entry, tenants=frozenset({TENANT}))
    here = an_assignment(delegated=True, partner=PARTNER)
    there = an_assignment(delegated=True, partner=PARTNER, tenant=OTHER_TENANT)

    assert scoped.takes(Reason.DELEGATED_ADMIN, here, MONDAY)
    assert not scoped.takes(Reason.DELEGATED_ADMIN, there, MONDAY)
    assert entry.takes(Reason.DELEGATED_ADMIN, there, MONDAY)


def test_a_tenant_without_settings_of_its_own_has_the_providers() -> None:
    own = TenantPolicy(disabled=frozenset({Reason.USER_RISK}))
    policy = Policy(tenants={TENANT: own})

    assert policy.of(TENANT) == own
    assert policy.of(OTHER_TENANT) == TenantPolicy()


def test_every_setting_that_decides_changes_the_digest() -> None:
    minute = Window(before=timedelta(minutes=1), after=timedelta(minutes=1))
    lateness = timedelta(days=8)
    informational = TenantPolicy(Severities(usual=Severity.INFORMATIONAL))
    high = TenantPolicy(Severities(raised=Severity.HIGH))
    disabled = TenantPolicy(disabled=frozenset({Reason.USER_RISK}))
    policies = [
        Policy(),
        Policy(matching=Matching.FAITHFUL),
        Policy(windows=Windows(evidence=minute)),
        Policy(windows=Windows(evidence=dataclasses.replace(minute, after=timedelta()))),
        Policy(windows=Windows(graph=minute)),
        Policy(windows=Windows(graph=dataclasses.replace(minute, after=timedelta()))),
        Policy(windows=Windows(lateness=lateness)),
        Policy(everywhere=informational),
        Policy(everywhere=high),
        Policy(everywhere=disabled),
        Policy(tenants={TENANT: informational}),
        Policy(tenants={OTHER_TENANT: informational}),
        Policy(workspaces={"w": TENANT}),
        Policy(workspaces={"w": OTHER_TENANT}),
        Policy(allow_list=(ACCOUNT,)),
        Policy(allow_list=(OF_PARTNER,)),
        Policy(allow_list=(dataclasses.replace(ACCOUNT, name="CHG-2"),)),
        Policy(allow_list=(dataclasses.replace(ACCOUNT, tenants=frozenset({TENANT})),)),
        Policy(allow_list=(dataclasses.replace(ACCOUNT, reasons=OF_PARTNER.reasons),)),
        Policy(allow_list=(dataclasses.replace(ACCOUNT, account=DANA_ID),)),
        Policy(allow_list=(dataclasses.replace(ACCOUNT, since=shifted(MONDAY, plus_ticks=1)),)),
        Policy(allow_list=(dataclasses.replace(ACCOUNT, until=shifted(UNTIL, plus_ticks=1)),)),
    ]

    digests = {one.digest for one in policies}

    assert len(digests) == len(policies)


def test_what_decides_nothing_leaves_the_digest_alone() -> None:
    policy = Policy(allow_list=(ACCOUNT, OF_PARTNER), workspaces={"a": "b", "c": "d"})
    same = Policy(
        allow_list=(OF_PARTNER, dataclasses.replace(ACCOUNT, owner="else", cause="else")),
        workspaces={"c": "d", "a": "b"},
    )

    assert policy.digest == same.digest
