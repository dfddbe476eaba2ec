import json

from facts import facts_of
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.alert_codec import decode, encode, to_alert
from pipeline.core.event_time import EventTime
from pipeline.core.model import (
    Evidence,
    Fact,
    Position,
    Seen,
)
from pipeline.core.policy import Reason, Severity
from pipeline.core.verdict import Verdict, Withholding, fact_id
from pipeline.ports import Revision, Status
from topics.alert import Alert

TENANT = "5f0c6c0a-0d3c-4c1e-9a57-1d6f5d3f0a11"

texts = st.text(max_size=12)
event_times = st.integers(-(10**17), 2 * 10**17).map(EventTime)
positions = st.builds(
    Position,
    topic=st.sampled_from(["intune.audit.v1", "graph.activity.v1"]),
    partition=st.integers(0, 7),
    offset=st.integers(0, 2**63 - 1),
    index=st.none() | st.integers(0, 10_000),
)
risks, behaviors, graph_requests, assignments = facts_of(TENANT, texts, event_times)


@st.composite
def revisions(draw: st.DrawFn) -> Revision:
    variants = tuple(draw(st.lists(assignments, min_size=1, max_size=3, unique=True)))
    risk = tuple(draw(st.lists(risks, max_size=3, unique=True)))
    seen_behaviors = tuple(draw(st.lists(behaviors, max_size=3, unique=True)))
    graph = tuple(draw(st.lists(graph_requests, max_size=3, unique=True)))
    verdict = Verdict(
        assignment=variants[0],
        variants=variants,
        target_types=variants[0].target_types,
        split_signals=draw(st.booleans()),
        reasons=tuple(draw(st.sets(st.sampled_from(Reason)))),
        withheld=draw(st.builds(Withholding, st.sampled_from(Reason), texts).map(lambda w: (w,))),
        severity=draw(st.sampled_from(Severity)),
        risk=risk,
        behaviors=seen_behaviors,
        graph=graph,
        evidence_truncated=draw(st.booleans()),
        ip_addresses=tuple(draw(st.lists(texts, max_size=2))),
        recommended_actions=(),
    )
    facts: tuple[Fact, ...] = (*variants, *risk, *seen_behaviors, *graph)
    return Revision(
        verdict=verdict,
        number=draw(st.integers(1, 10**6)),
        status=draw(st.sampled_from(Status)),
        detected_at=draw(event_times),
        sources=tuple((fact_id(fact), draw(positions)) for fact in facts),
        policy_digest="0123456789abcdef",
    )


@given(revisions())
def test_what_is_written_is_the_published_model_to_the_letter(revision: Revision) -> None:
    value = encode(revision).value

    alert = Alert.model_validate_json(value, strict=True)

    assert json.loads(value) == alert.model_dump(mode="json")
    assert list(json.loads(value)) == list(alert.model_dump())
    assert alert == to_alert(revision)


@given(revisions())
def test_what_was_published_is_read_back_fact_for_fact(revision: Revision) -> None:
    verdict = revision.verdict
    positions_of = dict(revision.sources)
    evidence: tuple[Evidence, ...] = (*verdict.risk, *verdict.behaviors, *verdict.graph)

    alert_id, published = decode(encode(revision).value)

    assert alert_id == verdict.alert_id
    assert (published.number, published.status) == (revision.number, revision.status)
    assert published.digest == verdict.digest
    assert published.evidence_truncated == verdict.evidence_truncated
    assert published.evidence == tuple(Seen(one, positions_of[fact_id(one)]) for one in evidence)
