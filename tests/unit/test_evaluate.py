from collections.abc import Callable
from datetime import timedelta

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

from pipeline.core.evaluate import CARRIED_AT_MOST, DISABLED, evaluate
from pipeline.core.evidence import BEHAVIORS_THAT_COUNT, Matching
from pipeline.core.model import Behavior, Evidence, Risk
from pipeline.core.policy import AllowEntry, Policy, Reason, Severities, Severity, TenantPolicy
from pipeline.core.verdict import Outcome, Verdict, Withholding
from pipeline.core.window import Window, Windows

Build = Callable[..., Risk | Behavior]

POLICY = Policy()
FAITHFUL = Policy(matching=Matching.FAITHFUL)
BEFORE, AFTER = -timedelta(days=14), timedelta(hours=48)
FACTS = pytest.mark.parametrize(
    ("build", "reason"), [(a_risk, Reason.USER_RISK), (a_behavior, Reason.RISKY_BEHAVIOR)]
)


def an_entry(
    *reasons: Reason,
    name: str = "CHG-1",
    account: str = "",
    partner: str = "",
    tenants: frozenset[str] = frozenset(),
) -> AllowEntry:
    return AllowEntry(
        name=name,
        reasons=frozenset(reasons),
        owner="soc@example.org",
        cause="planned",
        since=shifted(MONDAY, -timedelta(days=1)),
        until=shifted(MONDAY, timedelta(days=1)),
        partner_tenant_id=partner,
        account=account,
        tenants=tenants,
    )


def judged(*evidence: Evidence, policy: Policy = POLICY) -> Verdict:
    return evaluate([an_assignment()], evidence, policy)


def test_an_admin_of_whom_nothing_is_known_raises_no_alert() -> None:
    verdict = judged()

    assert verdict.outcome is Outcome.QUIET
    assert (verdict.reasons, verdict.withheld) == ((), ())


@pytest.mark.parametrize("level", ["Medium", "High", "high", "MEDIUM"])
def test_a_risk_raises_the_alert(level: str) -> None:
    risk = a_risk(level=level)

    verdict = judged(risk)

    assert verdict.reasons == (Reason.USER_RISK,)
    assert verdict.risk == (risk,)


@pytest.mark.parametrize("action_type", sorted(BEHAVIORS_THAT_COUNT))
def test_a_behavior_of_the_five_raises_the_alert(action_type: str) -> None:
    behavior = a_behavior(action_type=action_type)

    verdict = judged(behavior)

    assert verdict.reasons == (Reason.RISKY_BEHAVIOR,)
    assert verdict.behaviors == (behavior,)


def test_a_delegated_admin_raises_the_alert_without_any_evidence() -> None:
    nameless = an_assignment(delegated=True, identity="", upn="", object_id="")

    assert evaluate([nameless], [], POLICY).reasons == (Reason.DELEGATED_ADMIN,)
    assert evaluate([nameless], [], FAITHFUL).reasons == (Reason.DELEGATED_ADMIN,)


@FACTS
@pytest.mark.parametrize(
    ("end", "plus_ticks", "fires"),
    [(BEFORE, 0, True), (BEFORE, -1, False), (AFTER, 0, True), (AFTER, 1, False)],
)
def test_evidence_counts_at_both_ends_of_its_window_and_not_a_tick_beyond(
    build: Build, reason: Reason, end: timedelta, plus_ticks: int, *, fires: bool
) -> None:
    fact = build(at=shifted(MONDAY, end, plus_ticks=plus_ticks))

    verdict = judged(fact)

    assert verdict.reasons == ((reason,) if fires else ())
    assert (*verdict.risk, *verdict.behaviors) == ((fact,) if fires else ())


@FACTS
def test_the_faithful_matching_has_the_same_windows(build: Build, reason: Reason) -> None:
    assignment = an_assignment(identity="dana.admin", upn="")
    name = {"account_upn" if build is a_risk else "account_name": "dana.admin"}

    inside = build(at=shifted(MONDAY, BEFORE), **name)
    outside = build(at=shifted(MONDAY, BEFORE, plus_ticks=-1), **name)

    assert evaluate([assignment], [inside], FAITHFUL).reasons == (reason,)
    assert evaluate([assignment], [outside], FAITHFUL).reasons == ()


@FACTS
def test_the_windows_are_those_of_the_policy(build: Build, reason: Reason) -> None:
    minute = timedelta(minutes=1)
    narrow = Policy(windows=Windows(evidence=Window(before=minute, after=timedelta())))

    assert judged(build(at=shifted(MONDAY, -minute)), policy=narrow).reasons == (reason,)
    assert judged(build(at=shifted(MONDAY, plus_ticks=1)), policy=narrow).reasons == ()


@FACTS
def test_evidence_about_somebody_else_is_silent(build: Build, reason: Reason) -> None:
    assert reason not in judged(build(upn="other@example.org")).reasons


@FACTS
def test_evidence_of_another_tenant_is_silent(build: Build, reason: Reason) -> None:
    assert reason not in judged(build(tenant=OTHER_TENANT, object_id=DANA_ID)).reasons


def test_reasons_stand_in_one_order_whatever_the_order_of_the_facts() -> None:
    verdict = evaluate([an_assignment(delegated=True)], [a_behavior(), a_risk()], POLICY)

    assert verdict.reasons == (Reason.USER_RISK, Reason.RISKY_BEHAVIOR, Reason.DELEGATED_ADMIN)


@pytest.mark.parametrize("policy", [POLICY, FAITHFUL])
def test_a_graph_request_is_never_a_reason_and_adds_its_address(policy: Policy) -> None:
    request = a_graph_request(ip="203.0.113.9")

    verdict = judged(request, policy=policy)

    assert verdict.reasons == ()
    assert verdict.graph == (request,)
    assert verdict.ip_addresses == ("203.0.113.9",)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("plus_ticks", "held"), [(0, True), (1, False)])
def test_a_graph_request_counts_within_two_and_a_half_hours(
    sign: int, plus_ticks: int, *, held: bool
) -> None:
    at = shifted(MONDAY, sign * timedelta(hours=2.5), plus_ticks=sign * plus_ticks)

    assert bool(judged(a_graph_request(at=at)).graph) is held


def test_addresses_are_sorted_without_repeats_and_without_blanks() -> None:
    requests = [
        a_graph_request(ip=ip, request_id=str(number))
        for number, ip in enumerate(["203.0.113.9", "", "198.51.100.7", "203.0.113.9"])
    ]

    assert judged(*requests).ip_addresses == ("198.51.100.7", "203.0.113.9")


def test_the_earliest_copy_is_the_assignment_then_the_one_of_the_lowest_bytes() -> None:
    early = shifted(MONDAY, plus_ticks=-1)
    late, first, second = (
        an_assignment(app="A"),
        an_assignment(at=early, app="B", identity="b@example.org"),
        an_assignment(at=early, app="C", identity="c@example.org"),
    )

    verdict = evaluate([second, late, first], [], POLICY)

    assert verdict.assignment == first
    assert verdict.variants == (first, second, late)
    assert verdict.event_time == early


def test_evidence_in_the_window_of_any_copy_counts() -> None:
    early, late = an_assignment(), an_assignment(at=shifted(MONDAY, timedelta(days=1)))
    only_early = a_risk(at=shifted(MONDAY, BEFORE))
    only_late = a_behavior(at=shifted(MONDAY, timedelta(days=3)))
    of_neither = a_risk(at=shifted(MONDAY, BEFORE, plus_ticks=-1))

    verdict = evaluate([early, late], [only_early, only_late, of_neither], POLICY)

    assert verdict.reasons == (Reason.USER_RISK, Reason.RISKY_BEHAVIOR)
    assert (verdict.risk, verdict.behaviors) == ((only_early,), (only_late,))


def test_evidence_of_every_variant_of_an_id_counts() -> None:
    danas = an_assignment()
    eves = an_assignment(identity="eve@example.org", upn="", object_id="", correlation_id="r2")
    evidence: list[Evidence] = [
        a_risk(),
        a_behavior(upn="eve@example.org"),
        a_graph_request(client_request_id="r2"),
    ]

    verdict = evaluate([danas, eves], evidence, POLICY)

    assert verdict.reasons == (Reason.USER_RISK, Reason.RISKY_BEHAVIOR)
    assert len(verdict.graph) == 1


def test_variants_lend_each_other_no_window() -> None:
    dana_early = an_assignment()
    eve_late = an_assignment(
        at=shifted(MONDAY, timedelta(days=1)), identity="eve@example.org", upn="", object_id=""
    )
    after_danas_window = a_risk(at=shifted(MONDAY, timedelta(days=3)))

    assert evaluate([dana_early, eve_late], [after_danas_window], POLICY).reasons == ()


def test_one_delegated_variant_makes_the_alert_delegated() -> None:
    variants = [an_assignment(), an_assignment(at=shifted(MONDAY, plus_ticks=1), delegated=True)]

    assert evaluate(variants, [], POLICY).reasons == (Reason.DELEGATED_ADMIN,)


def test_target_types_of_all_variants_are_named() -> None:
    variants = [
        an_assignment(target_types=("AllLicensedUsersAssignmentTarget",)),
        an_assignment(target_types=("AllDevicesAssignmentTarget",)),
    ]

    assert evaluate(variants, [], POLICY).target_types == (
        "AllDevicesAssignmentTarget",
        "AllLicensedUsersAssignmentTarget",
    )


@pytest.mark.parametrize(("other", "split"), [(True, True), (False, False)])
def test_signals_are_split_only_when_no_variant_has_them_in_one_target(
    *, other: bool, split: bool
) -> None:
    variants = [an_assignment(split=True), an_assignment(split=other, app="Another")]

    assert evaluate(variants, [], POLICY).split_signals is split


def test_copies_and_repeats_count_once() -> None:
    once = evaluate([an_assignment()], [a_risk()], POLICY)

    assert evaluate([an_assignment()] * 3, [a_risk()] * 3, POLICY) == once


def test_evidence_of_one_moment_stands_in_the_order_of_its_bytes() -> None:
    risks = [a_risk(object_id=f"{number:02}") for number in range(40)]

    assert judged(*reversed(risks)).risk == tuple(risks)


def test_two_behavior_rows_that_differ_in_time_alone_are_two() -> None:
    first, second = a_behavior(), a_behavior(at=shifted(MONDAY, plus_ticks=1))

    assert judged(first, second).behaviors == (second, first)


@pytest.mark.parametrize(
    ("evidence", "delegated", "severity"),
    [
        ([a_risk()], False, Severity.LOW),
        ([a_risk(level="High")], False, Severity.MEDIUM),
        ([a_risk(level="hIGH")], False, Severity.MEDIUM),
        ([a_risk(), a_risk(level="High")], False, Severity.MEDIUM),
        ([a_behavior()], False, Severity.LOW),
        ([], True, Severity.LOW),
        ([a_risk()], True, Severity.MEDIUM),
        ([a_behavior()], True, Severity.MEDIUM),
        ([a_graph_request()], True, Severity.LOW),
    ],
)
def test_severity_is_low_and_medium_for_high_risk_or_two_reasons(
    evidence: list[Evidence], severity: Severity, *, delegated: bool
) -> None:
    verdict = evaluate([an_assignment(delegated=delegated)], evidence, POLICY)

    assert verdict.severity is severity


def test_severities_and_disabled_reasons_are_those_of_the_tenant() -> None:
    strict = Severities(usual=Severity.MEDIUM, raised=Severity.HIGH)
    policy = Policy(
        everywhere=TenantPolicy(Severities(raised=Severity.INFORMATIONAL)),
        tenants={TENANT: TenantPolicy(strict, frozenset({Reason.RISKY_BEHAVIOR}))},
    )
    elsewhere: list[Evidence] = [a_risk(tenant=OTHER_TENANT), a_behavior(tenant=OTHER_TENANT)]

    here = judged(a_risk(), a_behavior(), policy=policy)
    there = evaluate([an_assignment(tenant=OTHER_TENANT)], elsewhere, policy)

    assert (here.severity, here.reasons) == (Severity.MEDIUM, (Reason.USER_RISK,))
    assert (there.severity, len(there.reasons)) == (Severity.INFORMATIONAL, 2)


def test_a_disabled_reason_is_withheld_and_says_so() -> None:
    policy = Policy(everywhere=TenantPolicy(disabled=frozenset({Reason.USER_RISK})))

    verdict = judged(a_risk(level="High"), policy=policy)

    assert verdict.outcome is Outcome.WITHHELD
    assert verdict.withheld == (Withholding(Reason.USER_RISK, DISABLED),)
    assert verdict.risk == (a_risk(level="High"),)


def test_with_no_reason_left_the_verdict_is_withheld_and_names_the_entry() -> None:
    policy = Policy(allow_list=(an_entry(Reason.DELEGATED_ADMIN, name="CHG-7", partner=PARTNER),))

    verdict = evaluate([an_assignment(delegated=True, partner=PARTNER)], [], policy)

    assert verdict.outcome is Outcome.WITHHELD
    assert verdict.withheld == (Withholding(Reason.DELEGATED_ADMIN, "CHG-7"),)


def test_a_partner_entry_leaves_the_partners_risk() -> None:
    policy = Policy(allow_list=(an_entry(Reason.DELEGATED_ADMIN, partner=PARTNER),))

    verdict = evaluate([an_assignment(delegated=True, partner=PARTNER)], [a_risk()], policy)

    assert verdict.reasons == (Reason.USER_RISK,)
    assert verdict.withheld == (Withholding(Reason.DELEGATED_ADMIN, "CHG-1"),)
    assert verdict.severity is Severity.LOW


def test_severity_counts_what_remains() -> None:
    policy = Policy(allow_list=(an_entry(Reason.USER_RISK, account=DANA.lower()),))

    verdict = judged(a_risk(level="High"), a_behavior(), policy=policy)

    assert verdict.reasons == (Reason.RISKY_BEHAVIOR,)
    assert verdict.severity is Severity.LOW


def test_every_entry_that_takes_a_reason_is_named_once_in_order() -> None:
    policy = Policy(
        allow_list=(
            an_entry(Reason.USER_RISK, name="b", account=DANA.lower()),
            an_entry(Reason.USER_RISK, name="a", account=DANA_ID),
        )
    )

    assert judged(a_risk(), policy=policy).withheld == (
        Withholding(Reason.USER_RISK, "a"),
        Withholding(Reason.USER_RISK, "b"),
    )


def test_an_entry_for_one_variants_actor_leaves_the_reason_that_another_claims() -> None:
    policy = Policy(allow_list=(an_entry(Reason.USER_RISK, account=DANA.lower()),))
    eves = an_assignment(identity="eve@example.org", upn="", object_id="")
    risks = [a_risk(), a_risk(upn="eve@example.org")]

    both = evaluate([an_assignment(), eves], risks, policy)
    danas_alone = evaluate([an_assignment(), eves], risks[:1], policy)

    assert both.reasons == (Reason.USER_RISK,)
    assert danas_alone.outcome is Outcome.WITHHELD


def test_entries_hold_as_of_the_earliest_copy() -> None:
    policy = Policy(allow_list=(an_entry(Reason.USER_RISK, account=DANA.lower()),))
    copies = [an_assignment(), an_assignment(at=shifted(MONDAY, timedelta(days=5)))]

    assert evaluate(copies, [a_risk()], policy).outcome is Outcome.WITHHELD


def test_an_entry_that_does_not_apply_is_not_named() -> None:
    policy = Policy(allow_list=(an_entry(Reason.USER_RISK, account="eve@example.org"),))

    verdict = judged(a_risk(), policy=policy)

    assert (verdict.reasons, verdict.withheld) == ((Reason.USER_RISK,), ())


@FACTS
def test_at_most_500_facts_a_kind_are_carried_the_latest_first(
    build: Build, reason: Reason
) -> None:
    facts = [build(at=shifted(MONDAY, plus_ticks=-number)) for number in range(501)]

    verdict = judged(*reversed(facts))

    carried = verdict.risk if reason is Reason.USER_RISK else verdict.behaviors
    assert carried == tuple(facts[:CARRIED_AT_MOST])
    assert CARRIED_AT_MOST == 500
    assert verdict.evidence_truncated


def test_500_facts_of_each_kind_are_not_too_many() -> None:
    facts: list[Evidence] = []
    for number in range(500):
        at = shifted(MONDAY, plus_ticks=-number)
        facts += [a_risk(at=at), a_behavior(at=at), a_graph_request(at=at)]

    verdict = judged(*facts)

    assert (len(verdict.risk), len(verdict.behaviors), len(verdict.graph)) == (500, 500, 500)
    assert not verdict.evidence_truncated


def test_strangers_do_not_truncate() -> None:
    strangers = [
        a_risk(at=shifted(MONDAY, plus_ticks=-number), upn="eve@example.org")
        for number in range(501)
    ]

    assert not judged(*strangers).evidence_truncated


def test_what_was_truncated_stays_so_when_the_rest_has_expired() -> None:
    facts = [a_risk(at=shifted(MONDAY, plus_ticks=-number)) for number in range(501)]
    before = judged(*facts)

    after = evaluate(
        [an_assignment()], before.risk, POLICY, truncated_before=before.evidence_truncated
    )

    assert after == before
    assert after.digest == before.digest


def test_growth_below_the_500_latest_changes_nothing() -> None:
    facts = [a_risk(at=shifted(MONDAY, plus_ticks=-number)) for number in range(501)]
    older = a_risk(at=shifted(MONDAY, -timedelta(days=3)))

    assert judged(*facts, older).digest == judged(*facts).digest


def test_each_reason_recommends_its_own_action_before_the_usual_ones() -> None:
    usual = judged().recommended_actions
    risky = judged(a_risk()).recommended_actions
    everything = evaluate([an_assignment(delegated=True)], [a_risk(), a_behavior()], POLICY)

    assert len(usual) == 2
    assert risky[-2:] == usual
    assert len(risky) == 3
    assert len(set(everything.recommended_actions)) == 5


def test_more_variants_than_an_alert_can_list_still_count_and_it_says_so() -> None:
    copies = [
        an_assignment(at=shifted(MONDAY, plus_ticks=number), delegated=number == 600)
        for number in range(601)
    ]

    verdict = evaluate(copies, [], Policy())

    assert verdict.reasons == (Reason.DELEGATED_ADMIN,)
    assert len(verdict.variants) == 500
    assert verdict.variants[0].event_time == MONDAY
    assert verdict.evidence_truncated
