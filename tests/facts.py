"""Facts of every kind, drawn from whatever texts a test has in mind."""

from typing import NamedTuple

from hypothesis import strategies as st

from pipeline.core.event_time import EventTime
from pipeline.core.model import Actor, App, Assignment, Behavior, GraphRequest, Risk


class Facts(NamedTuple):
    """A strategy for each kind of fact."""

    risks: st.SearchStrategy[Risk]
    behaviors: st.SearchStrategy[Behavior]
    graph_requests: st.SearchStrategy[GraphRequest]
    assignments: st.SearchStrategy[Assignment]


def facts_of(
    tenant: str, texts: st.SearchStrategy[str], event_times: st.SearchStrategy[EventTime]
) -> Facts:
    """Draw facts of one tenant whose every text is one of these."""
    of, at = st.just(tenant), event_times
    return Facts(
        risks=st.builds(Risk, of, at, *[texts] * 4),
        behaviors=st.builds(Behavior, of, at, *[texts] * 5),
        graph_requests=st.builds(GraphRequest, of, at, *[texts] * 8),
        assignments=st.builds(
            Assignment,
            tenant_id=of,
            audit_event_id=texts,
            event_time=at,
            operation=texts,
            identity=texts,
            correlation_id=texts,
            target_types=st.lists(texts, max_size=3).map(tuple),
            split_signals=st.booleans(),
            actor=st.builds(Actor, texts, texts, st.booleans(), texts, texts, texts),
            app=st.builds(App, texts, texts),
        ),
    )
