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

from pipeline.core.evaluate import CARRIED_AT_MOST
from pipeline.core.event_time import ticks
from pipeline.core.evidence import Matching
from pipeline.core.explain import Explanation, Holding, ReasonExplained, explain
from pipeline.core.model import Evidence
from pipeline.core.near_misses import Bar, EntryBar, EntryObstacle, Obstacle
from pipeline.core.policy import AllowEntry, Policy, Reason, TenantPolicy

DAY = timedelta(days=1)
FAITHFUL = Policy(matching=Matching.FAITHFUL)
FIRST, LAST = shifted(MONDAY, -14 * DAY), shifted(MONDAY, 2 * DAY)


def of(explanation: Explanation, reason: Reason) -> ReasonExplained:
    return {one.reason: one for one in explanation.reasons}[reason]


def risk_weighed(fact: Evidence, policy: Policy | None = None) -> tuple[Obstacle, ...]:
    found = of(explain([an_assignment()], [fact], policy or Policy()), Reason.USER_RISK)
    [one] = (*found.counting, *found.near_misses)
    assert one.fact == fact
    return one.obstacles


def behavior_weighed(fact: Evidence, policy: Policy) -> tuple[Obstacle, ...]:
    found = of(explain([an_assignment()], [fact], policy), Reason.RISKY_BEHAVIOR)
    [one] = (*found.counting, *found.near_misses)
    return one.obstacles


def an_entry(**members: object) -> AllowEntry:
    usual: dict[str, object] = {
        "name": "rollout",
        "reasons": frozenset({Reason.USER_RISK}),
        "owner": "soc",
        "cause": "CHG-1",
        "since": shifted(MONDAY, -DAY),
        "until": shifted(MONDAY, DAY),
        "account": DANA.lower(),
    }
    return AllowEntry(**{**usual, **members})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("at", "obstacles"),
    [
        (FIRST, ()),
        (shifted(FIRST, plus_ticks=-1), (Obstacle(Bar.TOO_EARLY, beyond=1),)),
        (LAST, ()),
        (shifted(LAST, plus_ticks=1), (Obstacle(Bar.TOO_LATE, beyond=1),)),
        (shifted(LAST, DAY), (Obstacle(Bar.TOO_LATE, beyond=ticks(DAY)),)),
    ],
)
def test_a_fact_outside_of_the_window_says_by_how_much(
    at: int, obstacles: tuple[Obstacle, ...]
) -> None:
    assert risk_weighed(a_risk(at=at)) == obstacles  # type: ignore[arg-type]


def test_a_fact_says_how_far_from_the_assignment_it_lies() -> None:
    facts = [a_risk(at=shifted(MONDAY, -DAY)), a_risk(at=shifted(MONDAY, DAY))]

    found = of(explain([an_assignment()], facts, Policy()), Reason.USER_RISK)

    assert [one.apart for one in found.counting] == [ticks(DAY), -ticks(DAY)]


def test_another_upn_under_a_shared_key_says_what_was_compared() -> None:
    fact = a_behavior(upn="eve@example.org", account_name=DANA, object_id="other-id")

    obstacles = behavior_weighed(fact, Policy())

    assert obstacles == (
        Obstacle(Bar.OTHER_NAME, column="UPN", theirs="eve@example.org", ours=(DANA,)),
        Obstacle(Bar.OTHER_OBJECT, column="AccountObjectId", theirs="other-id", ours=(DANA_ID,)),
    )


def test_a_row_that_names_nobody_says_so() -> None:
    [obstacle] = risk_weighed(a_risk(upn="None", account_upn=DANA))

    assert (obstacle.bar, obstacle.theirs) == (Bar.NAMES_NOBODY, "None")


def test_faithful_matching_wants_the_account_name_itself() -> None:
    assert behavior_weighed(a_behavior(account_name="dana.admin"), FAITHFUL) == (
        Obstacle(Bar.OTHER_NAME, column="AccountName", theirs="dana.admin", ours=(DANA,)),
    )
    assert behavior_weighed(a_behavior(account_name=""), FAITHFUL) == (
        Obstacle(Bar.NAMES_NOBODY, column="AccountName", ours=(DANA,)),
    )


def test_faithful_matching_counts_no_other_spelling_of_a_level_or_a_name() -> None:
    obstacles = risk_weighed(a_risk(level="high", account_upn=DANA.lower()), FAITHFUL)

    assert [(one.bar, one.theirs) for one in obstacles] == [
        (Bar.LEVEL, "high"),
        (Bar.OTHER_NAME, DANA.lower()),
    ]


@pytest.mark.parametrize(
    ("fact", "policy", "bar"),
    [
        (a_graph_request(uri="/users"), Policy(), Bar.OTHER_PATH),
        (a_graph_request(at=shifted(MONDAY, DAY)), Policy(), Bar.TOO_LATE),
        (
            a_graph_request(client_request_id=an_assignment().correlation_id.upper()),
            FAITHFUL,
            Bar.OTHER_NAME,
        ),
    ],
)
def test_graph_activity_that_does_not_count_says_why(
    fact: Evidence, policy: Policy, bar: Bar
) -> None:
    explanation = explain([an_assignment()], [fact], policy)

    assert explanation.graph == ()
    assert [of.bar for one in explanation.graph_near_misses for of in one.obstacles] == [bar]


def test_a_correlation_id_of_nothing_joins_nothing() -> None:
    fact = a_graph_request(client_request_id="None")

    explanation = explain([an_assignment(correlation_id="None")], [fact], Policy())

    [near] = explanation.graph_near_misses
    assert [one.bar for one in near.obstacles] == [Bar.NAMES_NOBODY]


def test_strangers_and_other_tenants_are_passed_over() -> None:
    facts: list[Evidence] = [
        a_risk(upn="eve@example.org"),
        a_risk(tenant=OTHER_TENANT),
        a_graph_request(client_request_id="another"),
    ]

    explanation = explain([an_assignment()], facts, Policy())

    assert all(not one.counting and not one.near_misses for one in explanation.reasons)
    assert explanation.graph_near_misses == ()


def test_near_misses_come_nearest_first() -> None:
    by = [1, 10, 5]
    facts = [a_risk(at=shifted(LAST, plus_ticks=one)) for one in by]

    found = of(explain([an_assignment()], facts, Policy()), Reason.USER_RISK)

    assert [one.obstacles[0].beyond for one in found.near_misses] == [1, 5, 10]


def test_a_fact_is_weighed_against_the_copy_to_which_it_fits_best() -> None:
    copies = [an_assignment(), an_assignment(at=shifted(MONDAY, DAY))]
    fact = a_risk(at=shifted(LAST, plus_ticks=1))

    found = of(explain(copies, [fact], Policy()), Reason.USER_RISK)

    [counting] = found.counting
    assert counting.apart == ticks(DAY) + 1
    assert found.claimants == (copies[1],)


def test_more_facts_than_an_alert_carries_are_told_apart() -> None:
    facts = [a_risk(at=shifted(MONDAY, plus_ticks=-one)) for one in range(CARRIED_AT_MOST + 1)]

    found = of(explain([an_assignment()], facts, Policy()), Reason.USER_RISK)

    assert len(found.counting) == CARRIED_AT_MOST
    [left_out] = found.near_misses
    assert left_out.fact == facts[-1]
    assert left_out.obstacles == (Obstacle(Bar.CROWDED_OUT),)


def test_an_entry_that_takes_a_reason_away_is_named_with_its_terms() -> None:
    policy = Policy(allow_list=(an_entry(),))

    found = of(explain([an_assignment()], [a_risk()], policy), Reason.USER_RISK)

    assert found.holding is Holding.WITHHELD
    [entry] = found.entries
    assert (entry.entry.owner, entry.takes_from, entry.claimants) == ("soc", 1, 1)
    assert entry.obstacles == ()


@pytest.mark.parametrize(
    ("entry", "obstacle"),
    [
        (an_entry(until=MONDAY), EntryObstacle(EntryBar.EXPIRED, 0)),
        (
            an_entry(until=shifted(MONDAY, -DAY / 2)),
            EntryObstacle(EntryBar.EXPIRED, ticks(DAY / 2)),
        ),
        (an_entry(since=shifted(MONDAY, plus_ticks=1)), EntryObstacle(EntryBar.NOT_YET, 1)),
        (an_entry(tenants=frozenset({OTHER_TENANT})), EntryObstacle(EntryBar.OTHER_TENANT)),
        (
            an_entry(reasons=frozenset({Reason.RISKY_BEHAVIOR})),
            EntryObstacle(EntryBar.OTHER_REASON),
        ),
    ],
)
def test_an_entry_that_nearly_applies_says_what_it_lacks(
    entry: AllowEntry, obstacle: EntryObstacle
) -> None:
    found = of(
        explain([an_assignment()], [a_risk()], Policy(allow_list=(entry,))), Reason.USER_RISK
    )

    assert found.holding is Holding.HOLDS
    [weighed] = found.entries
    assert weighed.takes_from == 0
    assert weighed.obstacles == (obstacle,)


def test_an_entry_about_somebody_else_is_passed_over() -> None:
    policy = Policy(allow_list=(an_entry(account="eve@example.org"),))

    assert of(explain([an_assignment()], [a_risk()], policy), Reason.USER_RISK).entries == ()


def test_an_entry_that_covers_one_of_two_claimants_takes_nothing() -> None:
    partner = an_entry(
        account="", partner_tenant_id=PARTNER, reasons=frozenset({Reason.DELEGATED_ADMIN})
    )
    copies = [
        an_assignment(delegated=True, partner=PARTNER),
        an_assignment(delegated=True, partner="another"),
    ]

    found = of(explain(copies, [], Policy(allow_list=(partner,))), Reason.DELEGATED_ADMIN)

    assert found.holding is Holding.HOLDS
    [entry] = found.entries
    assert (entry.takes_from, entry.claimants) == (1, 2)


@pytest.mark.parametrize(
    ("policy", "setting"),
    [
        (
            Policy(everywhere=TenantPolicy(disabled=frozenset({Reason.USER_RISK}))),
            "disabled_reasons",
        ),
        (
            Policy(tenants={TENANT: TenantPolicy(disabled=frozenset({Reason.USER_RISK}))}),
            f"tenants.{TENANT}.disabled_reasons",
        ),
    ],
)
def test_a_reason_that_is_off_names_the_setting(policy: Policy, setting: str) -> None:
    found = of(explain([an_assignment()], [a_risk()], policy), Reason.USER_RISK)

    assert (found.holding, found.disabled_by) == (Holding.WITHHELD, setting)


@pytest.mark.parametrize(
    ("facts", "setting", "is_high", "are_several"),
    [
        ([a_risk()], "severity.usual", False, False),
        ([a_risk(level="High")], "severity.raised", True, False),
        ([a_risk(), a_behavior()], "severity.raised", False, True),
    ],
)
def test_severity_names_its_setting_and_what_raises_it(
    facts: list[Evidence], setting: str, is_high: bool, are_several: bool
) -> None:
    of_policy, of_tenant = Policy(), Policy(tenants={TENANT: TenantPolicy()})

    severity = explain([an_assignment()], facts, of_policy).severity
    of_its_own = explain([an_assignment()], facts, of_tenant).severity

    assert severity.setting == setting
    assert (severity.is_high_risk, severity.are_several_reasons) == (is_high, are_several)
    assert of_its_own.setting == f"tenants.{TENANT}.{setting}"
