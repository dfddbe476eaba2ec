import dataclasses
import itertools
import uuid
from typing import Any

import pytest
from builders import (
    EVENT,
    MONDAY,
    TENANT,
    a_behavior,
    a_graph_request,
    a_risk,
    an_assignment,
    shifted,
)

from pipeline.core.evaluate import evaluate
from pipeline.core.model import Actor, AssignmentId, Fact
from pipeline.core.policy import Policy
from pipeline.core.verdict import DETECTION_ID, Outcome, alert_id, canonical, fact_id


def test_an_alert_id_is_a_uuid_of_version_5_that_never_changes() -> None:
    named = uuid.UUID(alert_id(AssignmentId(TENANT, EVENT)))

    assert named.version == 5
    assert named == uuid.UUID("2497384f-97a8-5fd5-9535-3d1590148800")


def test_no_split_of_tenant_and_event_id_can_forge_the_id_of_another() -> None:
    pieces = ["", "a", "b", "ab", '"', '","', "\\", f'a","{DETECTION_ID}","b', "[", "é", "\u2028"]

    ids = {alert_id(AssignmentId(one, other)) for one, other in itertools.product(pieces, pieces)}

    assert len(ids) == len(pieces) ** 2


@pytest.mark.parametrize("fact", [a_risk(), a_behavior(), a_graph_request(), an_assignment()])
def test_a_fact_is_named_by_all_of_its_content(fact: Fact) -> None:
    others = [_changed(fact, field.name) for field in dataclasses.fields(fact)]

    ids = {fact_id(one) for one in [fact, *others]}

    assert len(ids) == 1 + len(others)
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in ids)


def _changed(fact: Fact, name: str) -> Fact:
    changes: dict[type, Any] = {int: 7, bool: True, tuple: ("x",), Actor: Actor(upn="x")}
    kind = type(getattr(fact, name))
    return dataclasses.replace(fact, **{name: changes.get(kind, "x")})


def test_equal_facts_are_written_alike_and_facts_of_two_kinds_never() -> None:
    risk, behavior = a_risk(), a_behavior()
    as_behavior = dataclasses.replace(behavior, behavior_id="", action_type="", upn="")

    assert canonical(risk) == canonical(a_risk())
    assert canonical(risk) != canonical(as_behavior)


def test_a_verdict_with_reasons_is_an_alert_about_its_earliest_variant() -> None:
    earlier = an_assignment(at=shifted(MONDAY, plus_ticks=-1), delegated=True)

    verdict = evaluate([an_assignment(delegated=True), earlier], [], Policy())

    assert verdict.outcome is Outcome.ALERT
    assert verdict.event_time == earlier.event_time
    assert verdict.alert_id == alert_id(earlier.id)


def test_a_digest_changes_with_the_reasons_the_evidence_and_the_assignment() -> None:
    quiet = evaluate([an_assignment()], [], Policy())
    risky = evaluate([an_assignment()], [a_risk()], Policy())
    riskier = evaluate([an_assignment()], [a_risk(), a_risk(level="High")], Policy())
    with_graph = evaluate([an_assignment()], [a_risk(), a_graph_request()], Policy())
    other_app = evaluate([an_assignment(app="Another")], [a_risk()], Policy())

    verdicts = (quiet, risky, riskier, with_graph, other_app)

    assert len({one.digest for one in verdicts}) == len(verdicts)


def test_a_digest_says_whether_evidence_was_left_out() -> None:
    whole = evaluate([an_assignment()], [a_risk()], Policy())
    cut = evaluate([an_assignment()], [a_risk()], Policy(), truncated_before=True)

    assert whole.digest != cut.digest
