"""The catalogue of topics: names, counts and what Kafka is told."""

from datetime import timedelta

import pytest

from topics.catalogue import (
    ALERTS,
    EVALUATIONS,
    FACTS_KEPT,
    Cleanup,
    History,
    Sources,
    Topic,
    catalogue,
    dlq_of,
)


def by_name(topics: tuple[Topic, ...]) -> dict[str, Topic]:
    return {topic.name: topic for topic in topics}


def test_the_topics_are_those_of_the_contract() -> None:
    names = [topic.name for topic in catalogue()]

    assert names == [
        "intune.audit.v1",
        "defender.identity-info.v1",
        "defender.behavior-entities.v1",
        "graph.activity.v1",
        "intune.audit.v1.dlq",
        "defender.identity-info.v1.dlq",
        "defender.behavior-entities.v1.dlq",
        "graph.activity.v1.dlq",
        "masswatch.evaluations.v1",
        "masswatch.evaluations.v1.dlq",
        "masswatch.alerts.v1",
    ]


@pytest.mark.parametrize("partitions", [1, 8, 48])
def test_an_evaluations_partition_has_an_alerts_partition_of_its_own(partitions: int) -> None:
    topics = by_name(catalogue(partitions=partitions))

    assert topics[EVALUATIONS].partitions == topics[ALERTS].partitions == partitions


def test_only_alerts_are_compacted() -> None:
    compacted = [t.name for t in catalogue() if t.cleanup is not Cleanup.DELETE]

    assert compacted == [ALERTS]


def test_sources_outlast_facts_and_alerts_outlast_sources() -> None:
    topics = by_name(catalogue())

    sources = [topics[name].retention for name in Sources().all]
    assert min(sources) >= FACTS_KEPT + timedelta(days=7)
    assert topics[ALERTS].retention > max(sources)


def test_a_dead_letter_of_the_largest_source_value_fits_with_its_headers() -> None:
    topics = by_name(catalogue())

    for name in (*Sources().all, EVALUATIONS):
        assert topics[dlq_of(name)].max_message_bytes == 2 * 1024 * 1024
        assert topics[name].max_message_bytes < 2 * 1024 * 1024 - 512 * 1024


def test_kafka_is_told_in_its_own_words() -> None:
    alerts = by_name(catalogue())[ALERTS]

    assert alerts.config() == {
        "cleanup.policy": "compact,delete",
        "compression.type": "zstd",
        "max.message.bytes": "8388608",
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": str(400 * 24 * 3600 * 1000),
    }


def test_every_topic_says_what_is_in_it_and_who_reads_it() -> None:
    for topic in catalogue():
        assert topic.content
        assert topic.key
        assert topic.readers


def test_a_provider_has_one_source_per_customer() -> None:
    sources = Sources(audit=("a.insights-logs-auditlogs", "b.insights-logs-auditlogs"))

    topics = by_name(catalogue(sources))

    assert {"a.insights-logs-auditlogs.dlq", "b.insights-logs-auditlogs.dlq"} <= topics.keys()
    assert "intune.audit.v1" not in topics


def test_a_topic_of_mixed_tables_stands_once_and_is_kept_for_the_longest() -> None:
    mixed = Sources(graph_activity=("hub",), audit=("hub",), identity_info=("hub", "hub"))

    topics = catalogue(mixed)

    (hub,) = [topic for topic in topics if topic.name == "hub"]
    assert hub.retention == timedelta(days=23 + 90)
    assert hub.content == (
        "IntuneAuditLogs; IdentityInfo; GraphAPIAuditEvents or MicrosoftGraphActivityLogs"
    )
    assert mixed.all == ("hub", "defender.behavior-entities.v1")
    assert [topic.name for topic in topics].count("hub.dlq") == 1


def test_one_name_given_twice_under_one_kind_is_one_topic() -> None:
    (hub,) = [t for t in catalogue(Sources(audit=("hub", "hub"))) if t.name == "hub"]

    assert hub.content == "IntuneAuditLogs"


def test_all_wrong_names_are_told_at_once() -> None:
    with pytest.raises(ValueError, match="audit") as caught:
        Sources(audit=("", "x" * 246), identity_info=(ALERTS,), graph_activity=("a.dlq", ".."))

    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "audit",
        "audit",
        "identity_info",
        "graph_activity",
        "graph_activity",
    ]


def test_the_longest_name_whose_dlq_kafka_still_takes_is_allowed() -> None:
    longest = "x" * 245

    assert len(dlq_of(Sources(audit=(longest,)).audit[0])) == 249


def test_sources_are_kept_as_long_as_a_backtest_looks_back_and_its_evidence_lies_before() -> None:
    topics = by_name(catalogue(history=History(timedelta(days=365), graph=timedelta(days=2))))

    kept = [topics[name].retention.days for name in Sources().all]
    assert kept == [365 + 23, 365 + 23, 365 + 23, 2 + 23]


def test_alerts_stay_as_long_as_a_backtest_may_compare_with_them() -> None:
    topics = by_name(catalogue(history=History(timedelta(days=1000))))

    assert topics[ALERTS].retention.days == 1000 + 23
