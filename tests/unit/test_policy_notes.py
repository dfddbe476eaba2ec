from datetime import timedelta
from typing import Any

import pytest
from builders import DANA, MONDAY, OTHER_TENANT, PARTNER, TENANT, shifted

from pipeline.core.evidence import NOBODY, Matching
from pipeline.core.policy import (
    AllowEntry,
    Policy,
    Reason,
    Severities,
    Severity,
    TenantPolicy,
)
from pipeline.core.window import Window, Windows
from pipeline.policy_notes import Kind, Note, notes_of, unknown_until_rebuilt

DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
MONTH = 30 * DAY
WORKSPACE = "0f9e8d7c-1111-4222-8333-444455556666"


def an_entry(**members: Any) -> AllowEntry:
    usual: dict[str, Any] = {
        "name": "CHG-1",
        "reasons": frozenset({Reason.USER_RISK}),
        "owner": "soc@example.org",
        "cause": "planned",
        "since": shifted(MONDAY, -DAY),
        "until": shifted(MONDAY, 365 * DAY),
        "account": DANA,
    }
    return AllowEntry(**{**usual, **members})


def notes(*entries: AllowEntry, **members: Any) -> tuple[Note, ...]:
    return notes_of(Policy(allow_list=entries, **members), MONDAY, MONTH)


def kinds(*entries: AllowEntry, **members: Any) -> list[Kind]:
    return [note.kind for note in notes(*entries, **members)]


def without(*reasons: Reason) -> TenantPolicy:
    return TenantPolicy(disabled=frozenset(reasons))


def windows(
    before: timedelta = 14 * DAY,
    after: timedelta = 2 * DAY,
    graph: timedelta = timedelta(hours=2.5),
    lateness: timedelta = 7 * DAY,
) -> Windows:
    return Windows(Window(before, after), Window(graph, graph), lateness)


def test_of_the_defaults_and_of_an_ordinary_entry_nothing_is_noted() -> None:
    assert notes() == ()
    assert notes(an_entry(), an_entry(name="CHG-2", account="", partner_tenant_id=PARTNER)) == ()


@pytest.mark.parametrize(
    ("left", "noted"),
    [
        (-DAY, [Kind.EXPIRED]),
        (timedelta(), [Kind.EXPIRED]),
        (TICK, [Kind.EXPIRES_SOON]),
        (MONTH, [Kind.EXPIRES_SOON]),
        (MONTH + TICK, []),
    ],
)
def test_an_entry_that_has_expired_or_expires_soon_is_noted(
    left: timedelta, noted: list[Kind]
) -> None:
    entry = an_entry(since=shifted(MONDAY, -2 * DAY), until=shifted(MONDAY, left))

    assert kinds(entry) == noted


def test_a_note_says_where_what_and_whom_to_ask() -> None:
    (note,) = notes(an_entry(until=shifted(MONDAY, 3 * DAY + timedelta(hours=1))))

    assert note.where == 'allow."CHG-1"'
    assert note.what == "expires on 2026-03-05 10:12 UTC, in 3 days"
    assert "soc@example.org" in note.remedy


@pytest.mark.parametrize(("ahead", "noted"), [(timedelta(), []), (TICK, [Kind.NOT_BEGUN])])
def test_an_entry_that_has_not_begun_is_noted(ahead: timedelta, noted: list[Kind]) -> None:
    assert kinds(an_entry(since=shifted(MONDAY, ahead))) == noted


def test_a_planned_entry_that_ends_soon_is_noted_for_both() -> None:
    entry = an_entry(since=shifted(MONDAY, DAY), until=shifted(MONDAY, 2 * DAY))

    assert kinds(entry) == [Kind.EXPIRES_SOON, Kind.NOT_BEGUN]


@pytest.mark.parametrize(
    ("everywhere", "one_tenant", "scope", "noted"),
    [
        (without(Reason.USER_RISK), None, frozenset(), True),
        (without(Reason.USER_RISK), without(), frozenset(), False),
        (without(Reason.USER_RISK), without(), frozenset({TENANT}), False),
        (without(Reason.USER_RISK), without(), frozenset({OTHER_TENANT}), True),
        (without(), without(Reason.USER_RISK), frozenset({TENANT}), True),
        (without(), without(Reason.USER_RISK), frozenset({TENANT, OTHER_TENANT}), False),
        (without(), without(Reason.USER_RISK), frozenset(), False),
        (without(Reason.RISKY_BEHAVIOR), None, frozenset(), False),
    ],
)
def test_an_entry_takes_nothing_when_its_reason_is_disabled_for_all_in_its_scope(
    everywhere: TenantPolicy,
    one_tenant: TenantPolicy | None,
    scope: frozenset[str],
    noted: bool,
) -> None:
    tenants = {} if one_tenant is None else {TENANT: one_tenant}

    found = kinds(an_entry(tenants=scope), everywhere=everywhere, tenants=tenants)

    assert found == [Kind.TAKES_NOTHING] * noted


def test_of_an_entry_of_two_reasons_the_one_that_takes_nothing_is_named() -> None:
    entry = an_entry(reasons=frozenset({Reason.USER_RISK, Reason.RISKY_BEHAVIOR}))

    (note,) = notes(entry, everywhere=without(Reason.RISKY_BEHAVIOR))

    assert note.what == "risky_behavior is disabled anyway for every tenant in its scope"
    assert note.remedy == "take it out of the entry"


@pytest.mark.parametrize("account", ["none", "see actor details in properties", NOBODY])
def test_an_account_that_stands_for_nobody_takes_nothing(account: str) -> None:
    assert kinds(an_entry(account=account)) == [Kind.TAKES_NOTHING]


def test_a_partner_whose_only_customer_is_itself_takes_nothing() -> None:
    partner = an_entry(account="", partner_tenant_id=PARTNER, tenants=frozenset({PARTNER}))

    assert kinds(partner) == [Kind.TAKES_NOTHING]


def test_a_tenant_that_has_what_holds_everywhere_sets_nothing() -> None:
    assert kinds(tenants={TENANT: TenantPolicy()}) == [Kind.SETS_NOTHING]
    assert kinds(tenants={TENANT: without(Reason.USER_RISK)}) == []


def test_a_workspace_is_no_tenant_in_whatever_place() -> None:
    found = notes(
        an_entry(tenants=frozenset({WORKSPACE})),
        tenants={WORKSPACE: without(Reason.USER_RISK)},
        workspaces={WORKSPACE: TENANT, "another": WORKSPACE},
    )

    assert [(note.kind, note.where) for note in found if note.kind is Kind.NO_TENANT] == [
        (Kind.NO_TENANT, 'workspaces."another"'),
        (Kind.NO_TENANT, f'tenants."{WORKSPACE}"'),
        (Kind.NO_TENANT, 'allow."CHG-1"'),
    ]


def test_a_workspace_that_is_said_to_be_a_tenant_is_one() -> None:
    assert kinds(an_entry(tenants=frozenset({TENANT})), workspaces={TENANT: TENANT}) == []


def test_where_every_reason_is_disabled_that_is_noted() -> None:
    assert kinds(everywhere=without(*Reason)) == [Kind.ALL_DISABLED]
    assert kinds(tenants={TENANT: without(*Reason)}) == [Kind.ALL_DISABLED]


def test_a_raised_severity_below_the_usual_one_is_noted() -> None:
    falling = TenantPolicy(Severities(usual=Severity.HIGH, raised=Severity.MEDIUM))

    assert kinds(everywhere=falling) == [Kind.SEVERITY_FALLS]
    assert kinds(everywhere=TenantPolicy(Severities(Severity.HIGH, Severity.HIGH))) == []


@pytest.mark.parametrize(
    ("name", "span", "what"),
    [
        ("before", 13 * DAY + timedelta(seconds=1), "13d1s, where 14d is the default"),
        ("after", timedelta(), "0s, where 2d is the default"),
        ("graph", timedelta(minutes=90), "1h30m, where 2h30m is the default"),
        ("lateness", 6 * DAY, "6d, where 7d is the default"),
    ],
)
def test_each_window_narrower_than_its_default_is_noted(
    name: str, span: timedelta, what: str
) -> None:
    (note,) = notes(windows=windows(**{name: span}))

    assert (note.kind, note.where, note.what) == (Kind.NARROW_WINDOW, f"windows.{name}", what)


def test_wider_windows_are_not_noted_but_graph_rows_that_are_forgotten_are() -> None:
    assert kinds(windows=windows(before=30 * DAY, graph=30 * DAY)) == []
    assert kinds(windows=windows(graph=14 * DAY + TICK)) == [Kind.FORGOTTEN_EARLY]


@pytest.mark.parametrize(
    ("before", "after", "wants"),
    [
        (Policy(), Policy(everywhere=without(Reason.USER_RISK)), ()),
        (Policy(), Policy(matching=Matching.FAITHFUL), ("matching",)),
        (Policy(matching=Matching.FAITHFUL), Policy(), ()),
        (Policy(), Policy(workspaces={WORKSPACE: TENANT}), ("workspaces",)),
        (Policy(), Policy(windows=windows(lateness=8 * DAY)), ("windows",)),
        (Policy(), Policy(windows=windows(before=15 * DAY, lateness=6 * DAY)), ()),
        (Policy(windows=windows(lateness=8 * DAY)), Policy(), ()),
    ],
)
def test_a_change_that_wants_what_was_not_kept_is_named(
    before: Policy, after: Policy, wants: tuple[str, ...]
) -> None:
    assert unknown_until_rebuilt(before, after) == wants
