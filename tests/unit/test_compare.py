from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from builders import (
    DANA,
    DANA_ID,
    MONDAY,
    OTHER_TENANT,
    PARTNER,
    TENANT,
    a_behavior,
    a_graph_request,
    a_risk,
    an_assignment,
    shifted,
)

from pipeline.backtest.compare import (
    LiveDifference,
    LiveKind,
    difference,
    difference_of,
    live_differences,
)
from pipeline.backtest.result import Change, Difference, Judged
from pipeline.core.evaluate import evaluate
from pipeline.core.evidence import Matching
from pipeline.core.model import Evidence, Position
from pipeline.core.policy import AllowEntry, Policy, Reason, Severities, Severity, TenantPolicy
from pipeline.core.verdict import fact_id
from pipeline.core.window import Window, Windows
from pipeline.report.document import published

DAY = timedelta(days=1)
DEFAULT = Policy()
OLD_RISK = a_risk(at=shifted(MONDAY, -10 * DAY))
SHORT = Windows(evidence=Window(before=DAY, after=2 * DAY))
LOW_WHEN_RAISED = TenantPolicy(Severities(raised=Severity.LOW))


def an_entry(name: str = "CHG-1", *, account: str = DANA.lower(), **members: Any) -> AllowEntry:
    usual = {
        "reasons": frozenset({Reason.USER_RISK}),
        "owner": "soc@example.org",
        "cause": "planned",
        "since": shifted(MONDAY, -DAY),
        "until": shifted(MONDAY, DAY),
    }
    return AllowEntry(name=name, account=account, **{**usual, **members})


def a_partner_entry(name: str) -> AllowEntry:
    reasons = frozenset({Reason.DELEGATED_ADMIN})
    return an_entry(name, account="", partner_tenant_id=PARTNER, reasons=reasons)


def of_tenant(tenant: str = TENANT, **members: Any) -> Policy:
    return Policy(tenants={tenant: TenantPolicy(**members)})


def found(
    before: Policy, after: Policy, *evidence: Evidence, delegated: bool = False
) -> Difference:
    variants = [an_assignment(delegated=delegated, partner=PARTNER if delegated else "")]
    difference_found = difference(variants, evidence, before, after)
    assert difference_found is not None
    return difference_found


def test_an_alert_that_only_the_second_policy_has_is_new_and_one_that_it_lacks_is_gone() -> None:
    new = found(Policy(windows=SHORT), DEFAULT, OLD_RISK)
    gone = found(DEFAULT, Policy(windows=SHORT), OLD_RISK)

    assert (new.change, new.causes, new.fields) == (Change.NEW, ("windows.before",), ())
    assert (gone.change, gone.causes, gone.fields) == (Change.GONE, ("windows.before",), ())
    assert new.of == an_assignment().id
    assert (new.before, new.after) == (gone.after, gone.before)


def test_an_alert_that_says_something_else_is_changed_and_the_fields_are_named() -> None:
    changed = found(Policy(windows=SHORT), DEFAULT, OLD_RISK, a_behavior())

    assert (changed.change, changed.causes) == (Change.CHANGED, ("windows.before",))
    assert changed.fields == ("severity", "reasons", "evidence.risk", "recommended_actions")


@pytest.mark.parametrize(
    ("after", "evidence", "cause"),
    [
        (Policy(matching=Matching.FAITHFUL), [a_risk(upn=DANA.upper())], "matching"),
        (Policy(windows=SHORT), [OLD_RISK], "windows.before"),
        (
            Policy(windows=Windows(evidence=Window(before=14 * DAY, after=DAY))),
            [a_risk(at=shifted(MONDAY, 1.5 * DAY))],
            "windows.after",
        ),
        (
            Policy(windows=Windows(graph=Window(before=DAY / 24, after=DAY / 24))),
            [a_risk(), a_graph_request(at=shifted(MONDAY, DAY / 12))],
            "windows.graph",
        ),
        (
            Policy(everywhere=TenantPolicy(Severities(usual=Severity.HIGH))),
            [a_risk()],
            "severity.usual",
        ),
        (
            Policy(everywhere=TenantPolicy(Severities(raised=Severity.HIGH))),
            [a_risk(level="High")],
            "severity.raised",
        ),
        (
            Policy(everywhere=TenantPolicy(disabled=frozenset({Reason.USER_RISK}))),
            [a_risk()],
            "disabled_reasons",
        ),
        (
            of_tenant(severities=Severities(usual=Severity.HIGH)),
            [a_risk()],
            f"tenants.{TENANT}.severity.usual",
        ),
        (
            of_tenant(severities=Severities(raised=Severity.HIGH)),
            [a_risk(level="High")],
            f"tenants.{TENANT}.severity.raised",
        ),
        (
            of_tenant(disabled=frozenset({Reason.USER_RISK})),
            [a_risk()],
            f"tenants.{TENANT}.disabled_reasons",
        ),
        (Policy(allow_list=(an_entry("CHG-7"),)), [a_risk()], 'allow."CHG-7"'),
    ],
)
def test_each_setting_that_makes_a_difference_is_named_in_both_directions(
    after: Policy, evidence: Sequence[Evidence], cause: str
) -> None:
    assert found(DEFAULT, after, *evidence).causes == (cause,)
    assert found(after, DEFAULT, *evidence).causes == (cause,)


def test_neither_two_equal_alerts_nor_withheld_against_quiet_is_a_difference() -> None:
    of = [an_assignment()]
    allowed = Policy(allow_list=(an_entry(),))

    assert difference(of, [a_risk()], DEFAULT, Policy(windows=SHORT)) is None
    assert difference(of, [OLD_RISK], allowed, Policy(windows=SHORT)) is None
    assert difference(of, [], DEFAULT, Policy(matching=Matching.FAITHFUL)) is None


def test_of_settings_that_differ_only_those_that_decide_are_causes() -> None:
    after = Policy(
        windows=Windows(evidence=Window(before=DAY, after=3 * DAY)),
        everywhere=TenantPolicy(Severities(usual=Severity.HIGH)),
        tenants={OTHER_TENANT: TenantPolicy(disabled=frozenset(Reason))},
        allow_list=(an_entry("elsewhere", tenants=frozenset({OTHER_TENANT})),),
        workspaces={"w": TENANT},
    )

    assert found(DEFAULT, after, OLD_RISK).causes == ("windows.before",)


def test_a_setting_that_would_only_rewrite_an_alert_is_no_cause_of_its_being_gone() -> None:
    no_graph = Windows(graph=Window(before=timedelta(), after=timedelta()))
    after = Policy(windows=no_graph, allow_list=(an_entry(),))
    graph = a_graph_request(at=shifted(MONDAY, DAY / 24))

    gone = found(DEFAULT, after, a_risk(), graph)

    assert (gone.change, gone.causes) == (Change.GONE, ('allow."CHG-1"',))


def test_a_setting_is_no_cause_of_a_change_in_fields_that_it_does_not_touch() -> None:
    before = Policy(windows=SHORT)

    raised = found(before, DEFAULT, a_behavior(), OLD_RISK)
    as_before = found(before, Policy(everywhere=LOW_WHEN_RAISED), a_behavior(), OLD_RISK)

    assert "severity" in raised.fields
    assert "severity" not in as_before.fields
    assert as_before.causes == ("windows.before",)


def test_two_settings_that_change_different_fields_are_both_causes() -> None:
    before = Policy(windows=SHORT, everywhere=LOW_WHEN_RAISED)

    changed = found(before, DEFAULT, a_behavior(), OLD_RISK)

    assert changed.causes == ("windows.before", "severity.raised")


def test_of_two_entries_that_each_hide_an_alert_the_removal_of_both_is_the_cause() -> None:
    both = (an_entry("by upn"), an_entry("by id", account=DANA_ID))

    causes = found(Policy(allow_list=both), DEFAULT, a_risk()).causes

    assert causes == ('allow."by id"', 'allow."by upn"')


def test_where_no_setting_decides_alone_those_that_decide_together_are_named() -> None:
    before = Policy(
        windows=SHORT,
        allow_list=(
            an_entry("hides risk"),
            a_partner_entry("hides partners"),
            an_entry("hides Dana", reasons=frozenset({Reason.DELEGATED_ADMIN})),
        ),
    )
    after = Policy(everywhere=TenantPolicy(Severities(usual=Severity.HIGH)))

    new = found(before, after, OLD_RISK, delegated=True)

    assert new.causes == (
        "windows.before",
        'allow."hides Dana"',
        'allow."hides partners"',
        'allow."hides risk"',
    )


def test_a_renamed_entry_changes_an_alert_and_other_words_in_it_do_not() -> None:
    before = Policy(allow_list=(an_entry("old"),))
    renamed = Policy(allow_list=(an_entry("new"),))
    reworded = Policy(allow_list=(an_entry("old", owner="iam@example.org", cause="longer"),))
    evidence: list[Evidence] = [a_risk(), a_behavior()]

    changed = found(before, renamed, *evidence)

    assert (changed.fields, changed.causes) == (("withheld",), ('allow."new"', 'allow."old"'))
    assert difference([an_assignment()], evidence, before, reworded) is None


def test_an_entry_whose_dates_moved_is_the_cause() -> None:
    before = Policy(allow_list=(an_entry(),))
    after = Policy(allow_list=(an_entry(until=MONDAY),))

    new = found(before, after, a_risk())

    assert (new.change, new.causes) == (Change.NEW, ('allow."CHG-1"',))


def test_an_entry_that_takes_fewer_reasons_away_is_the_cause() -> None:
    both = frozenset({Reason.USER_RISK, Reason.RISKY_BEHAVIOR})
    before = Policy(allow_list=(an_entry(reasons=both),))
    after = Policy(allow_list=(an_entry(),))

    new = found(before, after, a_risk(), a_behavior())

    assert (new.change, new.causes) == (Change.NEW, ('allow."CHG-1"',))


def test_a_tenant_that_follows_the_settings_of_all_has_them_as_the_cause() -> None:
    high = Severities(usual=Severity.HIGH)
    after = Policy(
        everywhere=TenantPolicy(high),
        tenants={TENANT: TenantPolicy(high, frozenset({Reason.DELEGATED_ADMIN}))},
    )

    assert found(DEFAULT, after, a_risk()).causes == ("severity.usual",)


def test_verdicts_that_rest_on_other_records_can_be_compared_too() -> None:
    earlier = an_assignment(at=shifted(MONDAY, -DAY), upn="")
    before = evaluate([an_assignment()], [a_risk()], DEFAULT)
    after = evaluate([an_assignment(), earlier], [a_risk()], DEFAULT)

    changed = difference_of(before, after, ("workspaces",))

    assert changed is not None
    assert changed.causes == ("workspaces",)
    assert changed.fields == ("event_time", "actor", "assignment")
    assert difference_of(after, after, ("workspaces",)) is None


def as_live(level: str = "Medium", event: str = "e1", **members: Any) -> dict[str, Any]:
    """An alert as the topic carries it."""
    assignment, risk = an_assignment(event_id=event), a_risk(level=level)
    sources = tuple((fact_id(one), Position("s", 0, 0)) for one in (assignment, risk))
    alert = published(Judged(evaluate([assignment], [risk], DEFAULT), sources))
    arrival = {"revision": 3, "detected_at": "2026-03-02T10:00:00.0000000Z", "sources": []}
    return alert | arrival | members


def by_id(*alerts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["alert_id"]: one for one in alerts}


def test_live_alerts_agree_whatever_depends_on_arrival() -> None:
    ours = as_live(revision=1, detected_at="", sources=[{"topic": "t"}])

    assert live_differences(by_id(ours), by_id(as_live())) == []


def test_a_withdrawn_alert_counts_as_none() -> None:
    withdrawn = as_live(status="withdrawn")

    (missing,) = live_differences(by_id(as_live()), by_id(withdrawn))

    assert missing.kind is LiveKind.MISSING
    assert live_differences({}, by_id(withdrawn)) == []


def test_missing_and_unexpected_alerts_are_told_in_order_of_event_time() -> None:
    early = as_live(event="early", event_time="2026-03-01T00:00:00.0000000Z")
    late, other = as_live(event="late"), as_live(event="both")

    differences = live_differences(by_id(late, other), by_id(other, early))

    assert differences == [
        LiveDifference(LiveKind.UNEXPECTED, early["alert_id"], TENANT, "early"),
        LiveDifference(LiveKind.MISSING, late["alert_id"], TENANT, "late"),
    ]


def test_fields_that_differ_are_named_by_their_dotted_paths() -> None:
    live = as_live(level="High", added_later=None)
    live["actor"] = live["actor"] | {"upn": "eve@example.org"}

    (different,) = live_differences(by_id(as_live()), by_id(live))

    assert different.kind is LiveKind.DIFFERENT
    assert different.fields == ("actor.upn", "added_later", "evidence.risk", "severity")


def test_a_digest_is_named_only_when_nothing_else_differs() -> None:
    (different,) = live_differences(by_id(as_live()), by_id(as_live(digest="another")))

    assert different.fields == ("digest",)
