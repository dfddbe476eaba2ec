"""Laws of the verdict: no order, no repetition, no stranger changes it."""

from collections.abc import Callable
from datetime import timedelta
from random import Random

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
    shifted,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.backtest.batch import judge
from pipeline.core.evaluate import CARRIED_AT_MOST, evaluate
from pipeline.core.event_time import EventTime, format_event_time, parse_event_time, ticks
from pipeline.core.evidence import Matching, keys_of, matches
from pipeline.core.model import Assignment, Behavior, Evidence, Fact, Risk
from pipeline.core.policy import Policy
from pipeline.core.window import Window

DAY = timedelta(days=1)
POLICIES = [Policy(matching=matching) for matching in Matching]
TEXTS = ["", DANA, DANA.lower(), "eve@example.org", "None", "See Actor details in properties"]

texts = st.sampled_from(TEXTS)
object_ids = st.sampled_from(["", DANA_ID])
tenants = st.sampled_from([TENANT, OTHER_TENANT])
requests = st.sampled_from(["", "r1", "R1", "r2", "None"])
policies = st.sampled_from(POLICIES)
moments = st.sampled_from(
    [
        shifted(MONDAY, span, plus_ticks=one)
        for span in (-14 * DAY, -DAY / 8, timedelta(), DAY / 8, 2 * DAY, 3 * DAY)
        for one in (-1, 0, 1)
    ]
)


def assignments(of: st.SearchStrategy[str] = tenants) -> st.SearchStrategy[Assignment]:
    return st.builds(
        an_assignment,
        at=moments,
        tenant=of,
        event_id=st.sampled_from(["e1", "e2"]),
        identity=texts,
        upn=texts,
        object_id=object_ids,
        delegated=st.booleans(),
        correlation_id=requests,
        split=st.booleans(),
        app=st.sampled_from(["A", "B"]),
    )


def evidence(of: st.SearchStrategy[str] = tenants) -> st.SearchStrategy[Evidence]:
    return st.one_of(
        st.builds(
            a_risk,
            at=moments,
            tenant=of,
            level=st.sampled_from(["Medium", "High", "high"]),
            upn=texts,
            account_upn=texts,
            object_id=object_ids,
        ),
        st.builds(
            a_behavior, at=moments, tenant=of, upn=texts, account_name=texts, object_id=object_ids
        ),
        st.builds(
            a_graph_request,
            at=moments,
            tenant=of,
            client_request_id=requests,
            uri=st.sampled_from(["/deviceAppManagement/", "/users"]),
        ),
    )


variants = st.lists(
    st.builds(
        an_assignment,
        at=moments,
        identity=texts,
        upn=texts,
        object_id=object_ids,
        delegated=st.booleans(),
        correlation_id=requests,
        split=st.booleans(),
    ),
    min_size=1,
    max_size=3,
)
own_evidence = st.lists(evidence(st.just(TENANT)), max_size=8)


@settings(max_examples=400, deadline=None)
@given(of=variants, facts=own_evidence, policy=policies, data=st.data())
def test_no_order_and_no_repetition_of_facts_changes_the_verdict(
    of: list[Assignment], facts: list[Evidence], policy: Policy, data: st.DataObject
) -> None:
    again = data.draw(st.permutations(facts + facts[: len(facts) // 2]))
    of_again = data.draw(st.permutations(of + of[:1]))

    verdict, other = evaluate(of, facts, policy), evaluate(of_again, again, policy)

    assert other == verdict
    assert other.digest == verdict.digest


@settings(max_examples=400, deadline=None)
@given(
    of=variants,
    facts=own_evidence,
    strangers=st.lists(evidence(st.just(OTHER_TENANT)), min_size=1, max_size=5),
    policy=policies,
)
def test_facts_of_another_tenant_change_nothing(
    of: list[Assignment], facts: list[Evidence], strangers: list[Evidence], policy: Policy
) -> None:
    alone = evaluate(of, facts, policy)

    assert evaluate(of, [*strangers, *facts], policy).digest == alone.digest


@settings(max_examples=400, deadline=None)
@given(of=variants, facts=own_evidence, beyond=st.integers(1, 10**12), policy=policies)
@example(of=[an_assignment()], facts=[], beyond=1, policy=Policy())
def test_facts_outside_every_window_change_nothing(
    of: list[Assignment], facts: list[Evidence], beyond: int, policy: Policy
) -> None:
    first = min(one.event_time for one in of)
    last = max(one.event_time for one in of)
    outside: list[Evidence] = []
    for build in (a_risk, a_behavior):
        before = EventTime(first - ticks(policy.windows.evidence.before) - beyond)
        after = EventTime(last + ticks(policy.windows.evidence.after) + beyond)
        outside += [build(at=at, upn=DANA, object_id=DANA_ID) for at in (before, after)]
    early = EventTime(first - ticks(policy.windows.graph.before) - beyond)
    late = EventTime(last + ticks(policy.windows.graph.after) + beyond)
    outside += [a_graph_request(at=at, client_request_id="r1") for at in (early, late)]

    alone = evaluate(of, facts, policy)

    assert evaluate(of, [*facts, *outside], policy).digest == alone.digest


@settings(max_examples=400, deadline=None)
@given(of=variants, facts=own_evidence, more=own_evidence, policy=policies)
def test_more_evidence_takes_no_reason_and_no_evidence_away(
    of: list[Assignment], facts: list[Evidence], more: list[Evidence], policy: Policy
) -> None:
    before, after = evaluate(of, facts, policy), evaluate(of, facts + more, policy)

    assert set(before.reasons) <= set(after.reasons)
    assert set(before.risk) <= set(after.risk)
    assert set(before.behaviors) <= set(after.behaviors)
    assert set(before.graph) <= set(after.graph)


@settings(max_examples=400, deadline=None)
@given(assignment=assignments(), fact=evidence(), matching=st.sampled_from(Matching))
def test_facts_that_match_always_meet_under_a_key(
    assignment: Assignment, fact: Evidence, matching: Matching
) -> None:
    if matches(assignment, fact, matching):
        assert keys_of(assignment) & keys_of(fact)


@settings(max_examples=300, deadline=None)
@given(
    of=st.lists(assignments(), max_size=6),
    facts=st.lists(evidence(), max_size=8),
    policy=policies,
    data=st.data(),
)
def test_the_batch_judges_as_if_it_showed_every_fact_to_every_assignment(
    of: list[Assignment], facts: list[Evidence], policy: Policy, data: st.DataObject
) -> None:
    everything: list[Fact] = data.draw(st.permutations([*of, *facts, *of[:1]]))

    verdicts = judge(everything, policy)

    assert verdicts == {
        one.id: evaluate([other for other in of if other.id == one.id], facts, policy) for one in of
    }


@pytest.mark.parametrize("build", [a_risk, a_behavior])
@settings(max_examples=10, deadline=None)
@example(dice=Random(0), cut=CARRIED_AT_MOST + 100)
@given(dice=st.randoms(use_true_random=False), cut=st.integers(0, 600))
def test_the_latest_500_are_the_same_when_the_rest_has_expired_in_between(
    build: Callable[..., Risk | Behavior], dice: Random, cut: int
) -> None:
    facts: list[Evidence] = [
        build(at=shifted(MONDAY, plus_ticks=-one)) for one in range(CARRIED_AT_MOST + 100)
    ]
    dice.shuffle(facts)
    of = [an_assignment()]

    first = evaluate(of, facts[:cut], Policy())
    kept: list[Evidence] = [*first.risk, *first.behaviors]
    after_expiry = evaluate(
        of, kept + facts[cut:], Policy(), truncated_before=first.evidence_truncated
    )

    assert after_expiry == evaluate(of, facts, Policy())


@settings(max_examples=300, deadline=None)
@given(
    before=st.integers(0, 10**14),
    after=st.integers(0, 10**14),
    assignment=st.integers(-(10**17), 10**17),
    apart=st.integers(-(10**14), 10**14),
)
def test_a_window_and_its_mirror_agree(
    before: int, after: int, assignment: int, apart: int
) -> None:
    window = Window(timedelta(microseconds=before // 10), timedelta(microseconds=after // 10))
    here, there = EventTime(assignment), EventTime(assignment + apart)

    assert window.holds(here, there) is window.mirrored().holds(there, here)


@settings(max_examples=300, deadline=None)
@given(st.integers(-621_355_968_000_000_000, 2_534_023_007_999_999_999).map(EventTime))
def test_an_event_time_that_is_written_is_read_back(event_time: EventTime) -> None:
    assert parse_event_time(format_event_time(event_time)) == event_time


@settings(max_examples=300, deadline=None)
@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"))
def test_no_text_at_all_upsets_the_reader_of_event_times(text: str) -> None:
    event_time = parse_event_time(text)

    assert event_time is None or parse_event_time(format_event_time(event_time)) == event_time
