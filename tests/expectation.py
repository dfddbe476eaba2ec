"""What must stand on the topics: the batch evaluation, in the form in which it is published.

What depends on arrival is left out (`design.md`, law 5).
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from pipeline.adapters.alert_codec import encode, without_arrival
from pipeline.backtest.batch import judge
from pipeline.core.event_time import EventTime
from pipeline.core.evidence import Matching
from pipeline.core.model import Fact, Position
from pipeline.core.policy import Policy
from pipeline.core.verdict import Outcome, Verdict, fact_id
from pipeline.ports import Revision, Status
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored, Malformed
from pipeline.sources.sieve import Sieve
from topics.alert import Alert

PublishedAlert = dict[str, Any]


class Taken(NamedTuple):
    """What the batch evaluation takes from values: facts, and the values to be dead-lettered."""

    facts: frozenset[Fact]
    refused: frozenset[tuple[str, bytes]]


def taken(values: Iterable[tuple[str, bytes | None]], matching: Matching) -> Taken:
    """Read values of topics as the batch evaluation does."""
    sieve, decode = Sieve(matching), Decoder(matching)
    facts: set[Fact] = set()
    refused: set[tuple[str, bytes]] = set()
    for topic, value in values:
        if value is None or not sieve.admits(value):
            continue
        for record in decode(value):
            match record.decoded:
                case Malformed():
                    refused.add((topic, value))
                case Ignored():
                    pass
                case fact:
                    facts.add(fact)
    return Taken(frozenset(facts), frozenset(refused))


def standing(alerts: Iterable[Alert]) -> dict[str, PublishedAlert]:
    """The alerts that hold, of the last revisions of all, by alert id."""
    return {
        alert.alert_id: without_arrival(alert.model_dump(mode="json"))
        for alert in alerts
        if alert.status == "active"
    }


def alerts_of_the_batch(facts: Iterable[Fact], policy: Policy) -> dict[str, PublishedAlert]:
    """The alerts that a batch evaluation of the facts says, by alert id."""
    return {
        verdict.alert_id: without_arrival(_as_published(verdict))
        for verdict in judge(facts, policy).values()
        if verdict.outcome is Outcome.ALERT
    }


def _as_published(verdict: Verdict) -> PublishedAlert:
    facts: tuple[Fact, ...] = (
        *verdict.variants,
        *verdict.risk,
        *verdict.behaviors,
        *verdict.graph,
    )
    anywhere = tuple((fact_id(fact), Position("source", 0, 0, 0)) for fact in facts)
    revision = Revision(verdict, 1, Status.ACTIVE, EventTime(0), anywhere, "policy")
    published: PublishedAlert = json.loads(encode(revision).value)
    return published
