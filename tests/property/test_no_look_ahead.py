"""A backtest sees no further than live: what lies outside of every window changes nothing."""

import json
from datetime import timedelta
from typing import Any

import pytest
from builders import (
    DANA,
    DANA_ID,
    MONDAY,
    OTHER_TENANT,
    TENANT,
    a_behavior,
    a_graph_request,
    a_risk,
    an_assignment,
    audit_properties,
    audit_record,
    hunting_record,
    identity_row,
    shifted,
    value_of,
)
from hypothesis import given
from hypothesis import strategies as st
from shards import HeldShard

from pipeline.backtest.batch import judge
from pipeline.backtest.engine import run
from pipeline.backtest.judging import Question
from pipeline.backtest.result import NamedPolicy
from pipeline.core.event_time import EventTime, format_event_time
from pipeline.core.evidence import Matching, matches, window_of
from pipeline.core.model import Evidence, Fact
from pipeline.core.policy import Policy
from pipeline.report.document import document_of
from pipeline.simulate.simulation import Plan, generate
from pipeline.slices.shard import Slice

POLICIES = [Policy(matching=matching) for matching in Matching]
NAMES = st.sampled_from([DANA, DANA.lower(), "eve@example.org", ""])
TENANTS = st.sampled_from([TENANT, OTHER_TENANT])
REQUESTS = st.sampled_from(["r1", "R1", "r2"])
MOMENTS = st.sampled_from(
    [
        shifted(MONDAY, timedelta(hours=hours), plus_ticks=tick)
        for hours in (-14 * 24, -2, 0, 2, 48, 72)
        for tick in (-1, 0, 1)
    ]
)
ASSIGNMENTS = st.builds(
    an_assignment,
    at=MOMENTS,
    tenant=TENANTS,
    event_id=st.sampled_from(["e1", "e2", "e3"]),
    identity=NAMES,
    upn=NAMES,
    object_id=st.sampled_from(["", DANA_ID]),
    delegated=st.booleans(),
    correlation_id=REQUESTS,
)


def evidence(moments: st.SearchStrategy[EventTime]) -> st.SearchStrategy[Evidence]:
    return st.one_of(
        st.builds(a_risk, at=moments, tenant=TENANTS, upn=NAMES, account_upn=NAMES),
        st.builds(a_behavior, at=moments, tenant=TENANTS, upn=NAMES, account_name=NAMES),
        st.builds(a_graph_request, at=moments, tenant=TENANTS, client_request_id=REQUESTS),
    )


FACTS = st.tuples(
    st.lists(ASSIGNMENTS, min_size=1, max_size=5), st.lists(evidence(MOMENTS), max_size=5)
).map(lambda both: [*both[0], *both[1]])
AFTER_ALL = st.integers(1, 10**15).map(
    lambda ticks: shifted(MONDAY, timedelta(hours=72 + 48), plus_ticks=ticks + 1)
)


@given(facts=FACTS, later=evidence(AFTER_ALL), policy=st.sampled_from(POLICIES))
def test_what_happens_after_every_window_changes_no_verdict(
    facts: list[Fact], later: Evidence, policy: Policy
) -> None:
    assert judge([*facts, later], policy) == judge(facts, policy)


@given(facts=FACTS, more=evidence(MOMENTS), policy=st.sampled_from(POLICIES))
def test_more_evidence_changes_exactly_the_verdicts_that_it_touches(
    facts: list[Fact], more: Evidence, policy: Policy
) -> None:
    before, after = judge(facts, policy), judge([*facts, more], policy)

    window = window_of(more, policy.windows)
    touched = {
        one.id
        for one in facts
        if not isinstance(one, Evidence)
        and more not in facts
        and window.holds(one.event_time, more.event_time)
        and matches(one, more, policy.matching)
    }
    assert {of for of in before if before[of].digest != after[of].digest} == touched


def said(values: list[tuple[str, bytes]]) -> dict[str, Any]:
    """What a backtest says of values, by alert id."""
    shards = tuple(HeldShard(topic, 0, at, (value,)) for at, (topic, value) in enumerate(values))
    question = Question((NamedPolicy("defaults", Policy()),))
    document = json.loads(json.dumps(document_of(run(Slice(shards, ()), question))))
    return {one["alert_id"]: one for one in document["policies"][0]["alerts"]}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("after", "changes"), [(timedelta(hours=48), 1), (None, 0)])
def test_a_row_within_the_window_changes_one_alert_of_a_simulation_and_a_later_one_none(
    seed: int, after: timedelta | None, changes: int
) -> None:
    values = [
        (one.kind.value, one.value)
        for one in generate(
            Plan(seed=seed, tenants=3, audit_events=150, duration=timedelta(days=1))
        )
    ]
    mine = audit_record(
        tenantId=TENANT,
        time=format_event_time(MONDAY),
        properties=audit_properties(AuditEventId="mine"),
    )
    at = (
        shifted(MONDAY, timedelta(hours=48), plus_ticks=1)
        if after is None
        else shifted(MONDAY, after)
    )
    row = identity_row(AccountUpn=DANA, RiskLevel="High", Timestamp=format_event_time(at))
    values.append(("audit", value_of(mine)))

    before = said(values)
    extended = said([*values, ("identity_info", value_of(hunting_record("IdentityInfo", row)))])

    assert len(before) > 3
    changed = {
        key for key in before.keys() | extended.keys() if before.get(key) != extended.get(key)
    }
    assert len(changed) == changes
    assert all(extended[one]["audit_event_id"] == "mine" for one in changed)
