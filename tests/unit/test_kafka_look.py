"""What is kept of a look at Kafka when some of its questions are refused."""

import time
from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from pipeline.adapters.kafka_group_look import committed_by
from pipeline.adapters.kafka_look import _Look
from pipeline.adapters.kafka_standing import Offsets, Place, Replicas, TopicStanding

NOBODY = {"bootstrap.servers": "127.0.0.1:1"}
PLACE = Place("audit", 0)
TOPICS = {"audit": TopicStanding({0: Replicas(1, frozenset({1}), frozenset({1}))})}
UNKNOWN_TO_IT = KafkaException(KafkaError(KafkaError.UNSUPPORTED_VERSION))


class Broker:
    """Answers librdkafka's admin client, and refuses some kinds of offsets."""

    def __init__(self, *refused: type[OffsetSpec]) -> None:
        self._refused = refused

    def list_offsets(
        self,
        asked: Mapping[TopicPartition, OffsetSpec],
        isolation_level: IsolationLevel,
        request_timeout: float,
    ) -> Mapping[TopicPartition, "Future[Any]"]:
        return {of: self._told(spec) for of, spec in asked.items()}

    def _told(self, spec: OffsetSpec) -> "Future[Any]":
        future: Future[Any] = Future()
        if isinstance(spec, self._refused):
            future.set_exception(UNKNOWN_TO_IT)
        else:
            future.set_result(SimpleNamespace(offset=7, timestamp=5))
        return future


def a_look(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> _Look:
    look = _Look(NOBODY, time.monotonic() + 10)
    monkeypatch.setattr(look, "_admin", broker)
    return look


def test_a_broker_that_does_not_tell_the_newest_times_leaves_the_offsets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newest = type(OffsetSpec.max_timestamp())  # type: ignore[no-untyped-call]
    look = a_look(monkeypatch, Broker(newest))

    found = look.offsets(TOPICS)

    assert found == {PLACE: Offsets(7, 7, 7)}
    assert set(look.untold) == {"newest_ms"}


def test_a_broker_that_does_not_tell_where_partitions_end_leaves_no_offsets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = type(OffsetSpec.latest())  # type: ignore[no-untyped-call]
    look = a_look(monkeypatch, Broker(end))

    assert look.offsets(TOPICS) == {}
    assert set(look.untold) == {"offsets"}


def test_a_commit_that_our_user_may_not_know_is_no_missing_commit() -> None:
    class Refused:
        def committed(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
            error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
            return [
                SimpleNamespace(topic=one.topic, partition=one.partition, offset=-1, error=error)
                for one in asked
            ]

    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        committed_by(Refused(), [PLACE], 1)  # type: ignore[arg-type]
