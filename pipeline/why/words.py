"""Sentences about explanations, for people who are asked at three in the morning."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, assert_never

from pipeline.core.event_time import TICKS_PER_SECOND, format_event_time
from pipeline.core.evidence import Matching
from pipeline.core.explain import (
    Explanation,
    Holding,
    ReasonExplained,
    SeverityExplained,
    WeighedEntry,
)
from pipeline.core.model import Behavior, GraphRequest, Risk
from pipeline.core.near_misses import Bar, EntryBar, EntryObstacle, Obstacle
from pipeline.core.policy import Reason
from pipeline.core.verdict import Outcome
from pipeline.core.window import Window
from pipeline.why.actor_search import ActorRows
from pipeline.why.answer import Live
from pipeline.why.event_search import ASKED_TENANT, RecordSeen
from pipeline.why.last_revision import LastRevision

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))
_LONGEST_VALUE: Final = 80
_CONDITIONS: Final = {
    Reason.USER_RISK: "an IdentityInfo row of the actor, a user, with RiskLevel Medium or High",
    Reason.RISKY_BEHAVIOR: "a BehaviorEntities row of the actor with one of the five action types",
    Reason.DELEGATED_ADMIN: "Actor.IsDelegatedAdmin is true",
}


def span(ticks: int) -> str:
    """Write a span of ticks to the last one: `2 d 3 h`, `0.0000001 s`."""
    seconds, fraction = divmod(abs(ticks), TICKS_PER_SECOND)
    parts = []
    for unit, size in _UNITS:
        whole, seconds = divmod(seconds, size)
        if whole:
            parts.append(f"{whole} {unit}")
    digits = f".{fraction:07d}".rstrip("0") if fraction else ""
    if seconds or digits or not parts:
        parts.append(f"{seconds}{digits} s")
    return " ".join(parts)


def apart(ticks: int) -> str:
    """Say when something happened, seen from the assignment."""
    if ticks == 0:
        return "at the same time"
    return f"{span(ticks)} {'after' if ticks > 0 else 'before'}"


def window(of: Window) -> str:
    """Say what a window spans."""
    return f"{_spanned(of.before)} before to {_spanned(of.after)} after"


def asks(reason: Reason) -> str:
    """Say when a reason holds."""
    return _CONDITIONS[reason]


def says(fact: Risk | Behavior | GraphRequest) -> str:
    """Say what a fact says."""
    match fact:
        case Risk():
            return f"risk {fact.level}: {_who(fact.upn, fact.account_upn, fact.object_id)}"
        case Behavior():
            who = _who(fact.upn, fact.account_name, fact.object_id)
            return f"{fact.action_type} {_shortened(fact.behavior_id)}: {who}"
        case GraphRequest():
            said = (fact.method, _shortened(fact.uri), fact.status, fact.ip_address)
            return " ".join(one for one in said if one)
        case _:
            assert_never(fact)


def obstacle(one: Obstacle, matching: Matching) -> str:
    """Say why a fact does not count."""
    theirs, ours = _quoted(one.theirs), " or ".join(_quoted(text) for text in one.ours)
    match one.bar:
        case Bar.TOO_EARLY:
            return f"{span(one.beyond)} before the window begins"
        case Bar.TOO_LATE:
            return f"{span(one.beyond)} after the window ends"
        case Bar.LEVEL:
            return f"{matching} matching counts {ours} exactly, {one.column} is {theirs}"
        case Bar.NAMES_NOBODY:
            said = f"is {theirs}, which names nobody" if one.theirs else "says nothing"
            return f"{one.column} {said}; {matching} matching compares it with {ours}"
        case Bar.OTHER_NAME:
            exactly = ", exactly" if matching is Matching.FAITHFUL else " in any case"
            return f"{one.column} is {theirs}, {matching} matching wants {ours}{exactly}"
        case Bar.OTHER_OBJECT:
            return f"{one.column} is {theirs}, the actor's is {ours}"
        case Bar.OTHER_PATH:
            return f"{one.column} does not hold {ours}: {theirs}"
        case Bar.CROWDED_OUT:
            return "an alert carries the latest 500 of a kind, and these are later"
        case _:
            assert_never(one.bar)


def found(one: ReasonExplained) -> str:
    """Say what became of a reason, and by what."""
    match one.holding:
        case Holding.HOLDS:
            return _evidence_of(one)
        case Holding.WITHHELD if one.disabled_by:
            return f"{_evidence_of(one)}, but the policy has it off: {one.disabled_by}"
        case Holding.WITHHELD:
            names = ", ".join(f'"{of.entry.name}"' for of in one.entries if of.takes_from)
            return f"{_evidence_of(one)}, but the allow-list takes it away: {names}"
        case Holding.ABSENT if one.reason is Reason.DELEGATED_ADMIN:
            return "IsDelegatedAdmin is not the JSON value true in any copy"
        case Holding.ABSENT:
            near = len(one.near_misses)
            return "no such row" + (f"; {near} near it that {_do(near)} not count" if near else "")
        case _:
            assert_never(one.holding)


def entry(one: WeighedEntry) -> str:
    """Say what an allow-list entry does here."""
    if one.takes_from == one.claimants:
        return "takes the reason away"
    if one.takes_from:
        return (
            f"covers {one.takes_from} of {one.claimants} variants of the event for which the "
            "reason holds: it stays"
        )
    return "; ".join(_entry_obstacle(of, one) for of in one.obstacles)


def severity(explanation: Explanation) -> str:
    """Say why an alert is as severe as it is."""
    why = _raised_by(explanation.severity)
    return f"{why}: {explanation.severity.setting} is {explanation.verdict.severity}"


def actor_rows(of: ActorRows) -> str:
    """Say what rows of the actor say instead of what would count."""
    rows = "1 row" if of.count == 1 else f"{of.count} rows, the nearest"
    when = "at no time that can be read" if of.apart is None else apart(of.apart)
    return f"{of.row.says}: {rows} {when}"


def outcome(explanation: Explanation) -> str:
    """Say in a sentence what follows, and why."""
    verdict = explanation.verdict
    match verdict.outcome:
        case Outcome.ALERT:
            return f"alert, {verdict.severity}: {', '.join(verdict.reasons)}"
        case Outcome.WITHHELD:
            took = ", ".join(f"{one.reason} by {one.entry}" for one in verdict.withheld)
            return f"no alert: every reason is withheld: {took}"
        case Outcome.QUIET:
            return "no alert: it is an assignment to everybody, and no reason holds"
        case _:
            assert_never(verdict.outcome)


def no_assignment(records: Sequence[RecordSeen]) -> str:
    """Say in a sentence why records of an event are no assignment of the tenant asked for."""
    first = records[0]
    failed = [one for one in first.conditions if one.holds is False]
    if first.is_dead_letter:
        return f"no alert: nobody could use the record, it is a {first.became}"
    if [one.name for one in failed] == [ASKED_TENANT]:
        return f"no alert here: it is an assignment of another tenant, {failed[0].found}"
    because = "; ".join(f"not true that {one.asks} (found: {one.found})" for one in failed)
    return f"no alert: not an assignment to everybody: {because}"


def last_revision(last: LastRevision | None) -> str:
    """Say what was published last."""
    if last is None:
        return "nothing was published of it"
    return (
        f"revision {last.published.number} is {last.published.status}, {last.alert.severity}, "
        f"{', '.join(last.alert.reasons) or 'without a reason'}, of {last.alert.detected_at}, "
        f"at {last.position}"
    )


def live_hint(live: Live, policy_digest: str) -> str:
    """Say what may explain a difference to what is published; "" when nothing needs to."""
    if live.last is not None and live.last.policy_digest != policy_digest:
        theirs = live.last.policy_digest
        return f"published by another policy, {theirs}; judged here by {policy_digest}"
    return "" if live.agrees else "ask again in a moment: an evaluation may be on its way"


def _evidence_of(one: ReasonExplained) -> str:
    if one.reason is Reason.DELEGATED_ADMIN:
        partners = sorted({of.actor.partner_tenant_id or "?" for of in one.claimants})
        return f"IsDelegatedAdmin is true, of partner {', '.join(partners)}"
    count = len(one.counting)
    return f"{count} such {'row' if count == 1 else 'rows'} in the window"


def _raised_by(of: SeverityExplained) -> str:
    if of.is_high_risk and of.are_several_reasons:
        return "a counted risk is High, and more than one reason holds"
    if of.is_high_risk:
        return "a counted risk is High"
    return "more than one reason holds" if of.are_several_reasons else "one reason, no High risk"


def _entry_obstacle(one: EntryObstacle, of: WeighedEntry) -> str:
    match one.bar:
        case EntryBar.NOT_YET:
            return f"begins {span(one.by)} after the event, at {format_event_time(of.entry.since)}"
        case EntryBar.EXPIRED:
            return (
                f"expired {span(one.by)} before the event, at {format_event_time(of.entry.until)}"
            )
        case EntryBar.OTHER_TENANT:
            return f"holds for other tenants: {', '.join(sorted(of.entry.tenants))}"
        case EntryBar.OTHER_REASON:
            return f"takes other reasons away: {', '.join(sorted(of.entry.reasons))}"
        case _:
            assert_never(one.bar)


def _who(*names: str) -> str:
    return ", ".join(_shortened(name) for name in dict.fromkeys(names) if name) or "nobody"


def _spanned(of: timedelta) -> str:
    return span(of // timedelta(microseconds=1) * 10)


def _do(count: int) -> str:
    return "does" if count == 1 else "do"


def _quoted(text: str) -> str:
    return f'"{_shortened(text)}"'


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
