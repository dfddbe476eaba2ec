from dataclasses import replace
from datetime import timedelta

import pytest
from builders import (
    DANA,
    MONDAY,
    PARTNER,
    a_behavior,
    a_graph_request,
    a_risk,
    an_assignment,
    shifted,
)

from pipeline.core.evidence import Matching
from pipeline.core.explain import explain
from pipeline.core.near_misses import Bar, Obstacle
from pipeline.core.policy import AllowEntry, Policy, Reason
from pipeline.core.window import Window
from pipeline.why import words as why_words

DAY = timedelta(days=1)
TICKS_A_DAY = 864_000_000_000
PARTNER_ENTRY = AllowEntry(
    name="partner",
    reasons=frozenset({Reason.DELEGATED_ADMIN}),
    owner="soc",
    cause="contract",
    since=shifted(MONDAY, -DAY),
    until=shifted(MONDAY, DAY),
    partner_tenant_id=PARTNER,
)


@pytest.mark.parametrize(
    ("ticks", "text"),
    [
        (0, "0 s"),
        (1, "0.0000001 s"),
        (-15_000_000, "1.5 s"),
        (TICKS_A_DAY, "1 d"),
        (2 * TICKS_A_DAY + 37_270_000_000, "2 d 1 h 2 min 7 s"),
    ],
)
def test_a_span_is_written_to_its_last_tick(ticks: int, text: str) -> None:
    assert why_words.span(ticks) == text


def test_a_window_says_how_far_it_reaches() -> None:
    assert why_words.window(Window(14 * DAY, 2 * DAY)) == "14 d before to 2 d after"


@pytest.mark.parametrize(
    ("obstacle", "matching", "text"),
    [
        (Obstacle(Bar.TOO_EARLY, beyond=1), Matching.REPAIRED, "0.0000001 s before the window"),
        (Obstacle(Bar.TOO_LATE, beyond=1), Matching.REPAIRED, "0.0000001 s after the window"),
        (
            Obstacle(Bar.LEVEL, column="RiskLevel", theirs="high", ours=("High", "Medium")),
            Matching.FAITHFUL,
            'faithful matching counts "High" or "Medium" exactly, RiskLevel is "high"',
        ),
        (
            Obstacle(Bar.NAMES_NOBODY, column="UPN", theirs="None", ours=(DANA,)),
            Matching.REPAIRED,
            'UPN is "None", which names nobody; repaired matching compares it with',
        ),
        (
            Obstacle(Bar.NAMES_NOBODY, column="AccountName", ours=(DANA,)),
            Matching.FAITHFUL,
            "AccountName says nothing; faithful matching compares it with",
        ),
        (
            Obstacle(Bar.OTHER_NAME, column="UPN", theirs="eve", ours=(DANA,)),
            Matching.REPAIRED,
            f'UPN is "eve", repaired matching wants "{DANA}" in any case',
        ),
        (
            Obstacle(Bar.OTHER_OBJECT, column="AccountObjectId", theirs="1", ours=("2",)),
            Matching.REPAIRED,
            'AccountObjectId is "1", the actor\'s is "2"',
        ),
        (
            Obstacle(Bar.OTHER_PATH, column="RequestUri", theirs="/users", ours=("apps",)),
            Matching.REPAIRED,
            'RequestUri does not hold "apps": "/users"',
        ),
        (Obstacle(Bar.CROWDED_OUT), Matching.REPAIRED, "the latest 500 of a kind"),
    ],
)
def test_every_obstacle_has_a_sentence(obstacle: Obstacle, matching: Matching, text: str) -> None:
    assert text in why_words.obstacle(obstacle, matching)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (PARTNER_ENTRY, "covers 1 of 2 variants"),
        (
            replace(PARTNER_ENTRY, since=shifted(MONDAY, DAY), until=shifted(MONDAY, 2 * DAY)),
            "begins 1 d after the event",
        ),
        (replace(PARTNER_ENTRY, until=MONDAY), "expired 0 s before the event"),
        (
            replace(PARTNER_ENTRY, tenants=frozenset({"b", "a"})),
            "holds for other tenants: a, b",
        ),
        (
            replace(PARTNER_ENTRY, reasons=frozenset({Reason.USER_RISK})),
            "takes other reasons away: user_risk",
        ),
    ],
)
def test_every_entry_that_takes_nothing_has_a_sentence(entry: AllowEntry, text: str) -> None:
    copies = [
        an_assignment(delegated=True, partner=PARTNER),
        an_assignment(delegated=True, partner="another"),
    ]

    explanation = explain(copies, [], Policy(allow_list=(entry,)))

    [weighed] = explanation.reasons[2].entries
    assert text in why_words.entry(weighed)
    assert why_words.found(explanation.reasons[2]) == (
        f"IsDelegatedAdmin is true, of partner another, {PARTNER}"
    )


def test_more_reasons_than_one_are_told_as_one_cause_of_severity() -> None:
    both = explain([an_assignment()], [a_risk(level="High"), a_behavior()], Policy())
    several = explain([an_assignment()], [a_risk(), a_behavior()], Policy())
    one = explain([an_assignment()], [a_risk()], Policy())

    assert why_words.severity(both).startswith("a counted risk is High, and more than one")
    assert why_words.severity(several).startswith("more than one reason holds: severity.raised")
    assert why_words.severity(one) == "one reason, no High risk: severity.usual is low"


def test_facts_are_told_by_what_decides() -> None:
    assert why_words.says(a_risk(upn="", account_upn="")) == "risk Medium: nobody"
    assert why_words.says(a_behavior(behavior_id="x" * 99)).startswith(
        "ImpossibleTravelActivity " + "x" * 79 + "…: "
    )
    assert why_words.says(a_graph_request(uri="/apps")) == "/apps 203.0.113.77"
