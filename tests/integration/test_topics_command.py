"""The topics on a real Kafka: compared, made so, and `masswatch topics` around both."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from confluent_kafka import Message, Producer
from typer.testing import CliRunner

from pipeline.adapters.kafka_admin import apply, compare
from pipeline.adapters.topic_differences import Difference, Twins, What
from pipeline.cli import dev
from pipeline.cli import topics as topics_command
from pipeline.core.errors import BrokerUnavailable, MasswatchError
from pipeline.localstack import Addresses
from topics.catalogue import ALERTS, EVALUATIONS, Topic, catalogue

pytestmark = pytest.mark.stack


@pytest.fixture
def client(stack: Addresses) -> dict[str, str]:
    return {"bootstrap.servers": stack.bootstrap_servers}


@pytest.fixture
def twins(prefix: str) -> Twins:
    return (prefix + EVALUATIONS, prefix + ALERTS)


def topics_of(prefix: str, partitions: int = 2) -> list[Topic]:
    """The whole catalogue, under names of the test's own."""
    return [replace(t, name=prefix + t.name) for t in catalogue(partitions=partitions)]


def named(topics: Sequence[Topic], name: str) -> Topic:
    (found,) = [topic for topic in topics if topic.name == name]
    return found


def about(differences: Sequence[Difference]) -> list[tuple[str, What, str, str]]:
    return [(each.topic, each.what, each.wanted, each.found) for each in differences]


def test_on_an_empty_cluster_every_topic_is_missing(client: dict[str, str], prefix: str) -> None:
    topics = topics_of(prefix)

    found = compare(topics, client)

    assert [(each.topic, each.what) for each in found] == [(t.name, What.MISSING) for t in topics]


def test_what_was_applied_does_not_differ_and_is_not_applied_again(
    client: dict[str, str], prefix: str, twins: Twins
) -> None:
    topics = topics_of(prefix)

    first = apply(topics, client, replication=1, twins=twins)
    second = apply(topics, client, replication=1, twins=twins)

    assert {each.topic for each in first.changed} == {topic.name for topic in topics}
    assert first.left == second.changed == second.left == []
    assert compare(topics, client, twins=twins) == []


def test_a_changed_setting_is_seen_and_set_back(client: dict[str, str], prefix: str) -> None:
    (topic, *_) = topics_of(prefix)
    apply([replace(topic, retention=timedelta(days=1))], client)

    found = compare([topic], client)
    applied = apply([topic], client)

    day, wanted = str(24 * 3600 * 1000), topic.config()["retention.ms"]
    assert about(found) == [(topic.name, What.CONFIG, wanted, day)]
    assert found[0].setting == "retention.ms"
    assert applied.changed == found
    assert compare([topic], client) == []


def test_partitions_of_a_source_are_raised_and_never_lowered(
    client: dict[str, str], prefix: str
) -> None:
    (topic, *_) = topics_of(prefix, partitions=2)
    apply([topic], client)

    raised = apply([replace(topic, partitions=3)], client)

    assert about(raised.changed) == [(topic.name, What.PARTITIONS, "3", "2")]
    assert raised.left == []
    assert compare([topic], client) == []


def test_partitions_of_evaluations_and_alerts_are_left_to_a_person(
    client: dict[str, str], prefix: str, twins: Twins
) -> None:
    apply(topics_of(prefix, partitions=2), client, twins=twins)

    applied = apply(topics_of(prefix, partitions=3), client, twins=twins)

    assert about(applied.left) == [(name, What.PARTITIONS, "3", "2") for name in twins]
    assert not {each.topic for each in applied.changed} & set(twins)


def test_a_missing_twin_gets_as_many_partitions_as_the_one_that_exists(
    client: dict[str, str], prefix: str, twins: Twins
) -> None:
    alerts = named(topics_of(prefix, partitions=5), twins[1])
    apply([alerts], client)
    pair = [named(topics_of(prefix, partitions=3), name) for name in twins]

    apply(pair, client, twins=twins)

    assert compare(pair, client, twins=twins) == []


def test_twins_of_unequal_counts_differ_though_both_have_enough(
    client: dict[str, str], prefix: str, twins: Twins
) -> None:
    evaluations, alerts = (named(topics_of(prefix, partitions=3), name) for name in twins)
    apply([replace(evaluations, partitions=4)], client)
    apply([alerts], client)

    applied = apply([evaluations, alerts], client, twins=twins)

    assert about(applied.left) == [(twins[0], What.TWIN, f"3, as {twins[1]}", "4")]
    assert applied.changed == []


def test_a_refused_change_says_which_topic_and_why(client: dict[str, str], prefix: str) -> None:
    (topic, *_) = topics_of(prefix)

    with pytest.raises(MasswatchError, match=rf"{prefix}\S+: refused by the broker") as caught:
        apply([topic], client, replication=7)

    assert not isinstance(caught.value, BrokerUnavailable)


def test_a_broker_that_is_away_is_told_with_what_to_do() -> None:
    nobody = {"bootstrap.servers": "127.0.0.1:1"}

    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1: no answer .*masswatch dev up"):
        compare(catalogue(), nobody, within=1)


def test_the_largest_dead_letter_goes_to_the_dlq_and_not_to_the_source(
    client: dict[str, str], prefix: str
) -> None:
    topics = topics_of(prefix)
    source = topics[0]
    dlq = named(topics, f"{source.name}.dlq")
    apply([source, dlq], client)
    arrived: list[str | None] = []
    refused: list[str | None] = []

    def note(error: object, record: Message) -> None:
        (refused if error else arrived).append(record.topic())

    producer = Producer({**client, "message.max.bytes": str(2 * 1024 * 1024)})
    for topic in (source.name, dlq.name):
        producer.produce(topic, b"x" * (2 * 1024 * 1024 - 4096), on_delivery=note)

    assert producer.flush(30) == 0
    assert arrived == [dlq.name]
    assert refused == [source.name]


def test_the_command_lists_the_topics_without_a_broker() -> None:
    runner = CliRunner(env={"MASSWATCH_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})

    listed = runner.invoke(topics_command.app, ["list", "--output", "json", "--partitions", "3"])

    assert listed.exit_code == 0
    assert [(each["name"], each["partitions"]) for each in json.loads(listed.stdout)] == [
        (topic.name, topic.partitions) for topic in catalogue(partitions=3)
    ]


def test_dev_up_takes_the_servers_that_the_environment_names(stack: Addresses) -> None:
    settings = {
        "MASSWATCH_KAFKA__BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "MASSWATCH_REDIS__URL": stack.redis_url,
    }

    taken = CliRunner(env=settings).invoke(dev.app, ["up", "--output", "json"])

    assert taken.exit_code == 0
    assert json.loads(taken.stdout) == settings
    assert "starting nothing" in taken.stderr
