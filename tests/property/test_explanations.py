"""An explanation says what the verdict says, and conditions what the decoder says."""

import json
from datetime import timedelta

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
    PARTNER,
    REQUIRED,
    TENANT,
    JsonObject,
    a_behavior,
    a_graph_request,
    a_risk,
    a_target,
    an_assignment,
    audit_properties,
    audit_record,
    audit_row,
    shifted,
    value_of,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spelling import spelled_values, wire_records

from pipeline.core.evaluate import evaluate
from pipeline.core.evidence import Matching, keys_of, matches, window_of
from pipeline.core.explain import Holding, explain
from pipeline.core.model import Assignment, Evidence
from pipeline.core.near_misses import obstacles
from pipeline.core.policy import AllowEntry, Policy, Reason, Severities, Severity, TenantPolicy
from pipeline.core.verdict import Outcome, Verdict, Withholding
from pipeline.core.window import Window, Windows
from pipeline.sources.conditions import Condition, conditions_of, stated_id
from pipeline.sources.decode import Decoder, taken_apart
from pipeline.sources.finder import Finder

DAY = timedelta(days=1)

texts = st.sampled_from(
    ["", DANA, DANA.lower(), "eve@example.org", "None", "See Actor details in properties"]
)
object_ids = st.sampled_from(["", DANA_ID])
requests = st.sampled_from(["", "r1", "R1", "None"])
moments = st.sampled_from(
    [
        shifted(MONDAY, span, plus_ticks=one)
        for span in (-14 * DAY, -DAY, -DAY / 8, timedelta(), DAY / 8, DAY, 2 * DAY)
        for one in (-1, 0, 1)
    ]
)
own_evidence = st.lists(
    st.one_of(
        st.builds(
            a_risk,
            at=moments,
            level=st.sampled_from(["Medium", "High", "high"]),
            upn=texts,
            account_upn=texts,
            object_id=object_ids,
        ),
        st.builds(a_behavior, at=moments, upn=texts, account_name=texts, object_id=object_ids),
        st.builds(
            a_graph_request,
            at=moments,
            client_request_id=requests,
            uri=st.sampled_from(["/deviceAppManagement/", "/users"]),
        ),
    ),
    max_size=8,
)
entries = st.builds(
    AllowEntry,
    name=st.sampled_from(["one", "two", "three"]),
    reasons=st.frozensets(st.sampled_from(Reason), min_size=1),
    owner=st.just("soc"),
    cause=st.just("a rollout"),
    since=st.sampled_from([shifted(MONDAY, -30 * DAY), MONDAY, shifted(MONDAY, plus_ticks=1)]),
    until=st.sampled_from([MONDAY, shifted(MONDAY, plus_ticks=1), shifted(MONDAY, 30 * DAY)]),
    partner_tenant_id=st.sampled_from(["", PARTNER]),
    account=st.sampled_from(["", "none", DANA.lower(), DANA_ID, "eve@example.org"]),
    tenants=st.sampled_from([frozenset[str](), frozenset({TENANT}), frozenset({"another"})]),
)
tenant_policies = st.builds(
    TenantPolicy,
    severities=st.builds(Severities, st.sampled_from(Severity), st.sampled_from(Severity)),
    disabled=st.frozensets(st.sampled_from(Reason)),
)
any_policies = st.builds(
    Policy,
    matching=st.sampled_from(Matching),
    windows=st.builds(
        Windows,
        evidence=st.builds(Window, st.sampled_from([DAY, 14 * DAY]), st.sampled_from([DAY])),
    ),
    everywhere=tenant_policies,
    tenants=st.one_of(st.just({}), st.fixed_dictionaries({TENANT: tenant_policies})),
    allow_list=st.lists(entries, max_size=3).map(tuple),
)
any_variants = st.lists(
    st.builds(
        an_assignment,
        at=moments,
        identity=texts,
        upn=texts,
        object_id=object_ids,
        delegated=st.booleans(),
        partner=st.sampled_from(["", PARTNER]),
        correlation_id=requests,
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=600, deadline=None)
@given(variants=any_variants, facts=own_evidence, policy=any_policies)
def test_an_explanation_agrees_with_the_verdict_it_explains(
    variants: list[Assignment], facts: list[Evidence], policy: Policy
) -> None:
    verdict = evaluate(variants, facts, policy)

    explained = explain(variants, facts, policy)

    by_reason = {one.reason: one for one in explained.reasons}
    assert explained.verdict == verdict
    assert tuple(by_reason) == tuple(Reason)
    assert tuple(one for one in Reason if by_reason[one].holding is Holding.HOLDS) == (
        verdict.reasons
    )
    assert [one.fact for one in by_reason[Reason.USER_RISK].counting] == list(verdict.risk)
    assert [one.fact for one in by_reason[Reason.RISKY_BEHAVIOR].counting] == (
        list(verdict.behaviors)
    )
    assert [one.fact for one in explained.graph] == list(verdict.graph)


@settings(max_examples=600, deadline=None)
@given(variants=any_variants, facts=own_evidence, policy=any_policies)
def test_what_an_explanation_rests_on_leads_to_the_verdict_by_itself(
    variants: list[Assignment], facts: list[Evidence], policy: Policy
) -> None:
    verdict = evaluate(variants, facts, policy)

    explained = explain(variants, facts, policy)

    reasons, withheld = [], set()
    for one in explained.reasons:
        if not one.claimants:
            continue
        taking = {of.entry.name for of in one.entries if of.takes_from}
        freed = len([c for c in one.claimants if is_taken(one.reason, c, verdict, policy)])
        if one.disabled_by:
            withheld.add(Withholding(one.reason, "disabled"))
        elif taking and freed == len(one.claimants):
            withheld |= {Withholding(one.reason, name) for name in taking}
        else:
            reasons.append(one.reason)
        assert all(bool(of.takes_from) is not bool(of.obstacles) for of in one.entries)
    severities = policy.of(TENANT).severities
    outcome = Outcome.ALERT if reasons else Outcome.WITHHELD if withheld else Outcome.QUIET
    assert (tuple(reasons), withheld, outcome) == (
        verdict.reasons,
        set(verdict.withheld),
        verdict.outcome,
    )
    assert verdict.severity is (
        severities.raised if explained.severity.is_raised else severities.usual
    )


def is_taken(reason: Reason, claimant: Assignment, verdict: Verdict, policy: Policy) -> bool:
    return any(entry.takes(reason, claimant, verdict.event_time) for entry in policy.allow_list)


@settings(max_examples=600, deadline=None)
@given(variants=any_variants, facts=own_evidence, policy=any_policies)
def test_a_fact_has_no_obstacle_exactly_when_it_is_evidence(
    variants: list[Assignment], facts: list[Evidence], policy: Policy
) -> None:
    for one in variants:
        for fact in facts:
            window = window_of(fact, policy.windows)
            belongs = window.holds(one.event_time, fact.event_time) and matches(
                one, fact, policy.matching
            )

            assert bool(obstacles(one, fact, policy)) is not belongs


@settings(max_examples=300, deadline=None)
@given(variants=any_variants, facts=own_evidence, policy=any_policies)
def test_every_fact_that_shares_a_key_is_accounted_for_once(
    variants: list[Assignment], facts: list[Evidence], policy: Policy
) -> None:
    keys = {key for one in variants for key in keys_of(one)}

    explained = explain(variants, facts, policy)

    weighed = [one.fact for of in explained.reasons for one in (*of.counting, *of.near_misses)] + [
        one.fact for one in (*explained.graph, *explained.graph_near_misses)
    ]
    assert len(weighed) == len(set(weighed))
    assert set(weighed) == {fact for fact in facts if keys & keys_of(fact)}


_targets = st.lists(
    st.builds(
        lambda properties, name: a_target(*properties, name=name),
        st.lists(st.sampled_from([REQUIRED, ALL_DEVICES, ALL_USERS, A_GROUP]), max_size=3),
        st.sampled_from(["<null>", "", None, "Group", 7]),
    ),
    max_size=3,
)
_members = st.fixed_dictionaries(
    {},
    optional={
        "operationName": st.sampled_from(["Patch MobileAppAssignment", "Delete X", None, ABSENT]),
        "resultType": st.sampled_from(["Failure", "success", None, ABSENT]),
        "time": st.sampled_from(["?", None, ABSENT]),
        "tenantId": st.sampled_from(["", "None", ABSENT]),
        "category": st.sampled_from(["auditlogs", "OperationalLogs", None, ABSENT]),
        "resourceId": st.sampled_from(["/TENANTS/X/PROVIDERS/MICROSOFT.AADIAM", "/other"]),
        "properties": st.one_of(
            st.sampled_from([None, "", "{", "[]", [], 5, "text", '"{"', ABSENT]),
            _targets.map(lambda targets: audit_properties(Targets=targets)),
            _targets.map(lambda targets: json.dumps(audit_properties(Targets=targets))),
        ),
    },
)


def says(record: object, index: int = 0) -> tuple[tuple[Condition, ...], bool]:
    value = value_of(record)
    (_, part), (decoded,) = taken_apart(value)[index], Decoder()(value)
    return conditions_of(part, {}), isinstance(decoded.decoded, Assignment)


@settings(max_examples=600, deadline=None)
@example(members={})
@given(members=_members)
def test_all_conditions_hold_exactly_when_a_record_is_an_assignment(members: JsonObject) -> None:
    conditions, is_assignment = says(audit_record(**members))

    assert all(one.holds for one in conditions) is is_assignment


@settings(max_examples=300, deadline=None)
@given(record=st.one_of(wire_records().map(lambda drawn: drawn[0]), st.just(audit_row())))
def test_the_same_goes_for_records_of_every_table_and_form(record: JsonObject) -> None:
    conditions, is_assignment = says(record)

    assert all(one.holds for one in conditions) is is_assignment


@settings(max_examples=600, deadline=None)
@given(spelled=spelled_values(), case=st.sampled_from([str.upper, str.lower, str]))
def test_the_finder_finds_every_record_that_states_the_id_however_it_is_spelled(
    spelled: tuple[JsonObject, bytes], case: object
) -> None:
    _, value = spelled
    ids = {stated_id(part) for _, part in taken_apart(value)} - {""}

    for one in ids:
        assert Finder(one).spots(value)
        assert Finder(str(case(one))).spots(value)  # type: ignore[operator]


@pytest.mark.parametrize("text", [EVENT, "event-1", "é", "a/b", "no-id:00ff"])
def test_the_finder_refuses_a_value_that_has_nothing_of_it(text: str) -> None:
    assert not Finder(text).spots(value_of({"resultType": "x"}))
