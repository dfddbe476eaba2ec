from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline.adapters.kafka_groups import Groups
from pipeline.core.errors import BrokerRefuses, BrokerUnavailable

NOBODY = {"bootstrap.servers": "127.0.0.1:1", "log_level": "0"}
HIDDEN = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
LEADERLESS = KafkaError(KafkaError.LEADER_NOT_AVAILABLE)


class Broker:
    """Answers librdkafka's admin client: one topic with two partitions, of ten offsets each."""

    def __init__(self, fault: KafkaError | None = None) -> None:
        self._fault = fault

    def list_topics(self, timeout: float) -> SimpleNamespace:
        partitions = {} if self._fault else {0: None, 1: None}
        return SimpleNamespace(
            topics={"audit": SimpleNamespace(partitions=partitions, error=self._fault)}
        )

    def list_offsets(
        self, asked: Mapping[TopicPartition, Any], **_: object
    ) -> Mapping[TopicPartition, "Future[Any]"]:
        answers: dict[TopicPartition, Future[Any]] = {}
        for of, spec in asked.items():
            answers[of] = Future()
            is_latest = "Latest" in type(spec).__name__
            answers[of].set_result(SimpleNamespace(offset=10 if is_latest else 0))
        return answers


class Member:
    """Answers as librdkafka's consumer what its group has committed: of partition 1, nothing."""

    def __init__(self, fault: KafkaError | None = None) -> None:
        self._fault = fault

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[SimpleNamespace]:
        if self._fault is not None:
            raise KafkaException(self._fault)
        offsets = {0: 7, 1: -1001}
        return [
            SimpleNamespace(
                topic=one.topic, partition=one.partition, offset=offsets[one.partition], error=None
            )
            for one in asked
        ]

    def close(self) -> None:
        pass


def lag(monkeypatch: pytest.MonkeyPatch, broker: Broker, member: Member) -> int:
    with closing(Groups(NOBODY)) as groups:
        monkeypatch.setattr(groups, "_admin", broker)
        monkeypatch.setitem(groups._members, "mw.audit", member)
        return groups.lag("mw.audit", ["audit"])


def test_a_group_lags_by_what_it_has_not_committed_and_by_all_where_it_has_committed_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert lag(monkeypatch, Broker(), Member()) == 3 + 10


def test_a_group_that_is_hidden_from_us_is_a_refusal_with_what_to_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(
        BrokerRefuses, match=r"group mw\.audit: Describe is not allowed to this user"
    ):
        lag(monkeypatch, Broker(), Member(HIDDEN))


def test_a_topic_whose_partitions_are_not_told_is_not_said_to_have_been_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BrokerUnavailable, match=r"group mw\.audit"):
        lag(monkeypatch, Broker(LEADERLESS), Member())
