"""What must stand on the alerts topic: the batch evaluation, in the form in which it is published.

`revision`, `detected_at` and `sources` depend on arrival and are left out (`design.md`, law 5).
"""

import json
from collections.abc import Iterable
from typing import Any

from pipeline.adapters.alert_codec import encode, without_arrival
from pipeline.backtest.batch import judge
from pipeline.core.event_time import EventTime
from pipeline.core.model import Fact, Position
from pipeline.core.policy import Policy
from pipeline.core.verdict import Outcome, Verdict, fact_id
from pipeline.ports import Revision, Status

PublishedAlert = dict[str, Any]


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
