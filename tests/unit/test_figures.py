from datetime import UTC, date, datetime, timedelta

import pytest
from builders import DANA, MONDAY, OTHER_TENANT, TENANT, a_behavior, a_risk, an_assignment, shifted

from pipeline.backtest.result import Answer, Backtest, Judged, NamedPolicy, Read
from pipeline.core.evaluate import DISABLED, evaluate
from pipeline.core.event_time import EventTime, event_time_of
from pipeline.core.model import Assignment, Evidence
from pipeline.core.policy import AllowEntry, Policy, Reason, Severity, TenantPolicy
from pipeline.core.verdict import Outcome, Verdict
from pipeline.report.figures import (
    Days,
    EntryUse,
    Noise,
    days_of,
    decided_after,
    figures_of,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MIDNIGHT = event_time_of(datetime(2026, 3, 2, tzinfo=UTC))
ENTRY = AllowEntry(
    name="Dana rolls out",
    reasons=frozenset({Reason.DELEGATED_ADMIN}),
    owner="soc@example.org",
    cause="CHG-1",
    since=shifted(MONDAY, -DAY),
    until=shifted(MONDAY, DAY),
    account=DANA.lower(),
)


def judged(assignment: Assignment, *evidence: Evidence, policy: Policy | None = None) -> Judged:
    return Judged(evaluate([assignment], evidence, policy or Policy()))


def an_alert(at: EventTime = MONDAY, *, tenant: str = TENANT, name: str = "") -> Judged:
    event_id = f"{name}{at}"
    return judged(an_assignment(at=at, tenant=tenant, event_id=event_id, delegated=True))


def a_backtest(
    *alerts: Judged,
    withheld: tuple[Judged, ...] = (),
    since: EventTime | None = None,
    until: EventTime | None = None,
    policy: Policy | None = None,
) -> Backtest:
    answer = Answer(NamedPolicy("defaults", policy or Policy()), alerts, withheld)
    return Backtest(("audit",), since, until, Read(), (answer,))


def an_alert_by(*evidence: Evidence, policy: Policy | None = None) -> Verdict:
    verdict = judged(an_assignment(), *evidence, policy=policy).verdict
    assert verdict.outcome is Outcome.ALERT
    return verdict


def test_alerts_are_counted_by_day_and_a_day_begins_at_midnight_utc() -> None:
    before, after = an_alert(shifted(MIDNIGHT, plus_ticks=-1)), an_alert(MIDNIGHT)
    backtest = a_backtest(before, after, an_alert(shifted(MIDNIGHT, HOUR)))

    figures = figures_of(backtest, backtest.answers[0])

    assert [(one.day, one.by_severity[Severity.LOW]) for one in figures.by_day] == [
        (date(2026, 3, 1), 1),
        (date(2026, 3, 2), 2),
    ]


def test_an_alert_counts_under_each_of_its_reasons_and_once_under_its_severity() -> None:
    both = judged(an_assignment(), a_risk(), a_behavior())
    backtest = a_backtest(both, an_alert(shifted(MONDAY, HOUR)))

    figures = figures_of(backtest, backtest.answers[0])

    assert figures.by_reason == {
        Reason.USER_RISK: 1,
        Reason.RISKY_BEHAVIOR: 1,
        Reason.DELEGATED_ADMIN: 1,
    }
    assert figures.by_severity == {
        Severity.INFORMATIONAL: 0,
        Severity.LOW: 1,
        Severity.MEDIUM: 1,
        Severity.HIGH: 0,
    }


def test_tenants_with_most_alerts_come_first_and_those_with_only_withheld_ones_last() -> None:
    alerts = [an_alert(MONDAY, tenant=OTHER_TENANT, name=name) for name in "ab"]
    backtest = a_backtest(
        an_alert(tenant="a tenant"), *alerts, withheld=(an_alert(tenant="a quiet tenant"),)
    )

    figures = figures_of(backtest, backtest.answers[0])

    assert [(one.tenant_id, one.alerts, one.withheld) for one in figures.by_tenant] == [
        (OTHER_TENANT, 2, 0),
        ("a tenant", 1, 0),
        ("a quiet tenant", 0, 1),
    ]


def test_days_without_alerts_count_as_none_in_the_noise_forecast() -> None:
    alerts = [
        an_alert(shifted(MIDNIGHT, day * DAY), name=name)
        for day, names in enumerate(["abc", "a", "ab", "abcde"])
        for name in names
    ]
    backtest = a_backtest(*alerts, since=MIDNIGHT, until=shifted(MIDNIGHT, 20 * DAY))

    figures = figures_of(backtest, backtest.answers[0])

    assert figures.noise == Noise(p50=0, p95=3, most=5, days=4)
    assert figures.by_tenant[0].noise == figures.noise


@pytest.mark.parametrize(("days", "p50"), [(2, 1), (3, 1), (4, 0)])
def test_the_median_is_the_least_count_that_half_of_the_days_do_not_pass(
    days: int, p50: int
) -> None:
    alerts = [an_alert(), an_alert(shifted(MONDAY, DAY))]
    backtest = a_backtest(*alerts, since=MIDNIGHT, until=shifted(MIDNIGHT, days * DAY))

    assert figures_of(backtest, backtest.answers[0]).noise.p50 == p50


def test_the_span_of_days_is_that_of_the_slice_and_its_end_is_not_in_it() -> None:
    until = shifted(MIDNIGHT, 3 * DAY)

    assert days_of(a_backtest(since=MONDAY, until=until)) == Days(
        date(2026, 3, 2), date(2026, 3, 4)
    )
    later = shifted(until, plus_ticks=1)
    assert days_of(a_backtest(since=MONDAY, until=later)) == Days(
        date(2026, 3, 2), date(2026, 3, 5)
    )


def test_an_open_end_of_the_slice_is_that_of_what_any_policy_alerts_or_withholds() -> None:
    early, late = an_alert(shifted(MONDAY, -2 * DAY)), an_alert(shifted(MONDAY, 5 * DAY))
    backtest = a_backtest(an_alert(), withheld=(early,))
    other = Answer(NamedPolicy("other", Policy()), (late,))

    open_ended = days_of(Backtest(("audit",), None, None, Read(), (*backtest.answers, other)))

    assert open_ended == Days(date(2026, 2, 28), date(2026, 3, 7))
    assert days_of(a_backtest(an_alert(), since=MIDNIGHT)) == Days(
        date(2026, 3, 2), date(2026, 3, 2)
    )
    assert days_of(a_backtest(since=MIDNIGHT)) == Days(date(2026, 3, 2), date(2026, 3, 2))
    assert days_of(a_backtest(until=shifted(MIDNIGHT, DAY))) == Days(
        date(2026, 3, 2), date(2026, 3, 2)
    )
    assert days_of(a_backtest()) is None
    assert days_of(a_backtest(since=MONDAY, until=MONDAY)) is None


def test_an_event_time_at_either_end_of_the_calendar_is_counted_like_any_other() -> None:
    first, last = EventTime(-621_355_968_000_000_000), EventTime(2_534_023_007_999_999_999)
    backtest = a_backtest(an_alert(first), an_alert(last))

    figures = figures_of(backtest, backtest.answers[0])

    assert figures.days == Days(date.min, date.max)
    assert figures.noise == Noise(p50=0, p95=0, most=1, days=2)


def test_a_delegated_admin_is_decided_at_once() -> None:
    late = a_risk(at=shifted(MONDAY, HOUR))

    assert decided_after(judged(an_assignment(delegated=True), late).verdict) == timedelta()


def test_evidence_before_the_assignment_decides_at_once() -> None:
    assert decided_after(an_alert_by(a_risk(at=shifted(MONDAY, -HOUR)))) == timedelta()


def test_the_earliest_evidence_of_the_reason_that_held_first_decides() -> None:
    verdict = an_alert_by(
        a_risk(at=shifted(MONDAY, 30 * HOUR)),
        a_behavior(at=shifted(MONDAY, 5 * HOUR)),
        a_behavior(at=shifted(MONDAY, 4 * HOUR), behavior_id="earlier"),
    )

    assert decided_after(verdict) == 4 * HOUR


def test_evidence_of_a_reason_that_does_not_count_decides_nothing() -> None:
    policy = Policy(everywhere=TenantPolicy(disabled=frozenset({Reason.RISKY_BEHAVIOR})))
    verdict = an_alert_by(a_behavior(), a_risk(at=shifted(MONDAY, 30 * HOUR)), policy=policy)

    assert decided_after(verdict) == 30 * HOUR


def test_what_is_no_alert_was_never_decided() -> None:
    with pytest.raises(ValueError, match="empty"):
        decided_after(judged(an_assignment()).verdict)


@pytest.mark.parametrize(
    ("late", "name"),
    [
        (-HOUR, "at once"),
        (timedelta(), "at once"),
        (timedelta(microseconds=1), "under 1 h"),
        (HOUR, "1 to 6 h"),
        (6 * HOUR, "6 to 24 h"),
        (24 * HOUR, "24 to 48 h"),
        (48 * HOUR, "48 h or later"),
    ],
)
def test_lateness_falls_into_one_span(late: timedelta, name: str) -> None:
    backtest = a_backtest(Judged(an_alert_by(a_risk(at=shifted(MONDAY, late)))))

    figures = figures_of(backtest, backtest.answers[0])

    assert [one.name for one in figures.decided if one.alerts] == [name]
    assert sum(one.alerts for one in figures.decided) == 1


def test_arrival_is_told_only_of_records_that_know_it() -> None:
    verdict = an_alert().verdict
    known = Judged(verdict, known_at=(verdict.event_time // 10_000) + 61_000)
    backtest, without = a_backtest(an_alert(), known), a_backtest(an_alert())

    figures = figures_of(backtest, backtest.answers[0])

    assert [(one.name, one.alerts) for one in figures.known if one.alerts] == [("1 to 15 min", 1)]
    assert figures_of(without, without.answers[0]).known == ()


def test_each_entry_tells_what_it_withheld_wholly_and_which_alerts_lost_a_reason() -> None:
    unused = AllowEntry(
        "nobody", ENTRY.reasons, "soc@example.org", "CHG-2", ENTRY.since, ENTRY.until, "partner"
    )
    policy = Policy(allow_list=(unused, ENTRY))
    withheld = judged(an_assignment(delegated=True), policy=policy)
    at = shifted(MONDAY, HOUR)
    weakened = judged(an_assignment(at=at, delegated=True), a_risk(), policy=policy)
    backtest = a_backtest(weakened, withheld=(withheld,), policy=policy)

    figures = figures_of(backtest, backtest.answers[0])

    assert figures.allow_list == (
        EntryUse("nobody", unused, 0, 0, None),
        EntryUse("Dana rolls out", ENTRY, 1, 1, at),
    )


def test_a_disabled_reason_is_listed_like_an_entry_when_it_withheld_something() -> None:
    policy = Policy(everywhere=TenantPolicy(disabled=frozenset({Reason.DELEGATED_ADMIN})))
    withheld = judged(an_assignment(delegated=True), policy=policy)
    backtest = a_backtest(withheld=(withheld,), policy=policy)

    figures = figures_of(backtest, backtest.answers[0])

    assert figures.allow_list == (EntryUse(DISABLED, None, 1, 0, MONDAY),)
