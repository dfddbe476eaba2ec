import pytest

from pipeline.core.errors import ConfigError
from pipeline.wiring import _check_topics, _topics_of_agents
from topics.catalogue import ALERTS, EVALUATIONS, Sources, catalogue, dlq_of


def counts(sources: Sources) -> dict[str, int]:
    return {topic.name: topic.partitions for topic in catalogue(sources)}


def test_topics_as_they_are_declared_fit() -> None:
    assert _check_topics(Sources(), counts(Sources())) == 8


def test_every_missing_topic_is_named_at_once() -> None:
    found = counts(Sources())
    del found["graph.activity.v1"], found[dlq_of("intune.audit.v1")]

    with pytest.raises(ConfigError) as raised:
        _check_topics(Sources(), found)

    assert str(raised.value).splitlines() == [
        "topic graph.activity.v1: does not exist: run masswatch topics apply",
        "topic intune.audit.v1.dlq: does not exist: run masswatch topics apply",
    ]


def test_evaluations_and_alerts_need_the_same_number_of_partitions() -> None:
    with pytest.raises(ConfigError, match=rf"{EVALUATIONS}: 8 partitions, where {ALERTS} has 4"):
        _check_topics(Sources(), counts(Sources()) | {ALERTS: 4})


def test_a_topic_of_mixed_tables_is_read_by_one_agent_alone() -> None:
    sources = Sources(audit=("mixed", "audit"), graph_activity=("mixed",))

    assert _topics_of_agents(sources) == {
        "audit": ("mixed", "audit"),
        "identity_info": ("defender.identity-info.v1",),
        "behavior_entities": ("defender.behavior-entities.v1",),
    }
