"""Bounded slices of a real Kafka: what belongs to them, and that nobody notices the reading."""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from datetime import timedelta

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from kafka_topic import NOON, KafkaTopic, Put, admin_of, produce

from pipeline.adapters.kafka_slice import Frozen, Range, SliceReader, freeze
from pipeline.core.errors import BrokerUnavailable, ConfigError
from pipeline.core.model import Position
from pipeline.localstack import Addresses, Stack, down
from pipeline.ports import Candidate
from pipeline.reader.slices import SiftedSlices
from pipeline.security import aiokafka_of
from pipeline.slices.offsets import Offsets
from pipeline.sources.sieve import Sieve

SECOND = timedelta(seconds=1)


@pytest.fixture
def client(stack: Addresses) -> dict[str, str]:
    return {"bootstrap.servers": stack.bootstrap_servers}


@pytest.fixture
def topic(client: dict[str, str], prefix: str) -> KafkaTopic:
    return KafkaTopic(prefix + "audit", client)


class Everything:
    """A sieve that lets every value through."""

    def spots(self, data: bytes | memoryview) -> Sequence[int]:
        return range(1, len(data) + 1)

    def admits(self, value: bytes) -> bool:
        return value is not None


def read(client: Mapping[str, str], frozen: Frozen) -> list[Candidate]:
    """Read values by librdkafka, and see that the worker's own hot path finds the same."""
    found = by_librdkafka(client, frozen)
    sifted = list(Offsets(frozen.ranges, client).chunks(Everything()))

    assert [one for chunk in sifted for one in chunk] == [
        one for one in found if one.value is not None
    ]
    assert sum(map(len, sifted)) == len(found)
    return found


def by_librdkafka(client: Mapping[str, str], frozen: Frozen) -> list[Candidate]:
    return [one for chunk in Offsets(frozen.ranges, client).chunks() for one in chunk]


def values_of(client: Mapping[str, str], frozen: Frozen) -> list[bytes | None]:
    return [one.value for one in read(client, frozen)]


def transactions(client: Mapping[str, str], name: str) -> Producer:
    producer = Producer({**client, "transactional.id": name})
    producer.init_transactions(30)
    return producer


def committed(producer: Producer, topic: str, *records: Put) -> None:
    producer.begin_transaction()
    produce(producer, topic, records)
    producer.commit_transaction(30)


def aborted(producer: Producer, topic: str, *records: Put) -> None:
    producer.begin_transaction()
    produce(producer, topic, records)
    assert producer.flush(30) == 0
    producer.abort_transaction(30)


@pytest.mark.stack
@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, [0, 1, 2, 3]),
        (NOON + 10, NOON + 30, [1, 2]),
        (NOON + 11, NOON + 31, [2, 3]),
        (NOON - 5, NOON, []),
        (-5, NOON + 1, [0]),
        (NOON + 31, None, []),
        (NOON + 31, NOON + 99, []),
        (None, NOON + 31, [0, 1, 2, 3]),
        (NOON + 20, NOON + 10, []),
    ],
)
def test_a_slice_holds_what_was_appended_from_one_record_time_to_before_another(
    client: dict[str, str],
    topic: KafkaTopic,
    since: int | None,
    until: int | None,
    expected: list[int],
) -> None:
    topic.create().put(*(Put(b"%d" % n, at=NOON + 10 * n) for n in range(4)))

    frozen = freeze(client, [topic.name], since_ms=since, until_ms=until)

    assert values_of(client, frozen) == [b"%d" % n for n in expected]
    assert sum(map(len, frozen.ranges)) == len(expected)
    assert all(0 <= one.first <= one.end <= 4 for one in frozen.ranges)
    assert frozen.cut == ()


@pytest.mark.stack
def test_record_times_that_go_back_take_what_lies_between_with_them(
    client: dict[str, str], topic: KafkaTopic
) -> None:
    topic.create().put(*(Put(b"%d" % at, at=NOON + at) for at in (10, 30, 5, 20, 40)))

    frozen = freeze(client, [topic.name], since_ms=NOON + 20, until_ms=NOON + 40)

    assert values_of(client, frozen) == [b"30", b"5", b"20"]


@pytest.mark.stack
def test_what_is_appended_after_the_freezing_is_not_read(
    client: dict[str, str], topic: KafkaTopic
) -> None:
    topic.create(partitions=2).put(Put(b"before"))
    frozen = freeze(client, [topic.name])
    topic.put(Put(b"after"), Put(b"after", partition=1))

    found = values_of(client, frozen)

    assert found == [b"before"]


@pytest.mark.stack
def test_partitions_and_topics_without_a_record_are_empty_ranges(
    client: dict[str, str], prefix: str
) -> None:
    names = [KafkaTopic(prefix + name, client).create(partitions=2).name for name in "ab"]

    frozen = freeze(client, [*names, names[0]])

    assert frozen.ranges == tuple(Range(name, one, 0, 0) for name in names for one in (0, 1))
    assert read(client, frozen) == []


@pytest.mark.stack
@pytest.mark.parametrize(
    ("since", "expected", "is_cut"),
    [
        (None, [b"2", b"3"], True),
        (NOON + 20, [b"2", b"3"], True),
        (NOON + 21, [b"3"], False),
        (NOON + 99, [], False),
    ],
)
def test_a_partition_whose_beginning_was_deleted_is_cut_unless_later_records_are_asked_for(
    client: dict[str, str],
    topic: KafkaTopic,
    since: int | None,
    expected: list[bytes],
    is_cut: bool,
) -> None:
    topic.create().put(*(Put(b"%d" % n, at=NOON + 10 * n) for n in range(4)))
    topic.delete_before(2)

    frozen = freeze(client, [topic.name], since_ms=since)

    assert frozen.cut == ((f"{topic.name}[0]",) if is_cut else ())
    assert values_of(client, frozen) == expected


@pytest.mark.stack
@pytest.mark.parametrize("since", [None, NOON])
def test_a_partition_of_which_all_was_deleted_is_empty_and_cut(
    client: dict[str, str], topic: KafkaTopic, since: int | None
) -> None:
    topic.create().put(Put(b"0"), Put(b"1"))
    topic.delete_before(2)

    frozen = freeze(client, [topic.name], since_ms=since)

    assert frozen == Frozen((Range(topic.name, 0, 2, 2),), (f"{topic.name}[0]",))
    assert read(client, frozen) == []


@pytest.mark.stack
def test_records_deleted_after_the_freezing_are_missed_with_an_error_not_in_silence(
    client: dict[str, str], topic: KafkaTopic
) -> None:
    topic.create().put(Put(b"0"), Put(b"1"))
    frozen = freeze(client, [topic.name])
    topic.delete_before(1)

    with pytest.raises(BrokerUnavailable, match=r"audit\[0\]@0\.\.2: its records were deleted"):
        read(client, frozen)


@pytest.mark.stack
def test_every_piece_of_a_range_holds_its_own_part(
    client: dict[str, str], topic: KafkaTopic
) -> None:
    topic.create().put(*(Put(b"%d" % n) for n in range(10)))
    [whole] = freeze(client, [topic.name]).ranges

    pieces = [values_of(client, Frozen((part,))) for part in whole.parts(4)]

    assert pieces == [[b"%d" % n for n in part] for part in (range(4), range(4, 8), range(8, 10))]


@pytest.mark.stack
def test_the_records_of_aborted_transactions_are_not_read_and_the_end_is_reached_even_so(
    client: dict[str, str], topic: KafkaTopic
) -> None:
    topic.create()
    producer = transactions(client, topic.name)
    aborted(producer, topic.name, Put(b"no"))
    committed(producer, topic.name, Put(b"yes"), Put(b"yes, too"))
    aborted(producer, topic.name, Put(b"no"), Put(b"no"))

    frozen = freeze(client, [topic.name])

    assert [len(one) for one in frozen.ranges] == [8]  # with the markers at the end of each
    assert values_of(client, frozen) == [b"yes", b"yes, too"]


@pytest.mark.stack
def test_a_piece_of_which_nothing_was_committed_is_empty(
    client: dict[str, str], topic: KafkaTopic
) -> None:
    topic.create()
    producer = transactions(client, topic.name)
    committed(producer, topic.name, Put(b"first"))
    aborted(producer, topic.name, Put(b"no"), Put(b"no"))
    committed(producer, topic.name, Put(b"last"))

    found = values_of(client, Frozen((Range(topic.name, 0, 1, 5),)))

    assert found == []


@pytest.mark.stack
def test_a_slice_ends_before_a_transaction_that_is_still_open(
    client: dict[str, str], topic: KafkaTopic
) -> None:
    topic.create()
    producer = transactions(client, topic.name)
    committed(producer, topic.name, Put(b"yes"))
    producer.begin_transaction()
    produce(producer, topic.name, [Put(b"not yet")])
    assert producer.flush(30) == 0

    open_still = freeze(client, [topic.name])
    by_time = freeze(client, [topic.name], until_ms=2 * NOON)
    producer.commit_transaction(30)

    assert open_still == by_time == Frozen((Range(topic.name, 0, 0, 2),))
    assert values_of(client, open_still) == [b"yes"]


@pytest.mark.stack
def test_the_gaps_of_a_compacted_topic_are_passed_over(
    client: dict[str, str], topic: KafkaTopic
) -> None:
    # The cleaner leaves the last segment alone, so the record of a mebibyte begins a new one.
    topic.create(
        cleanup_policy="compact",
        segment_bytes="1048576",
        min_cleanable_dirty_ratio="0.01",
        max_compaction_lag_ms="1",
    )
    topic.put(*(Put(b"old %d" % n, key=b"k") for n in range(20)), Put(b"kept", key=b"other"))
    topic.put(Put(b"x" * 1_040_000, key=b"big"), Put(b"x" * 1_040_000, key=b"big"))
    frozen = freeze(client, [topic.name])

    with a_cleaner_that_does_not_rest(client):
        found = until_compacted(client, frozen)

    assert found[:2] == [(19, b"k"), (20, b"other")]
    assert [(one.position.offset, one.key) for one in read(client, frozen)] == found
    assert [len(one) for one in frozen.ranges] == [23]
    inside = Frozen((Range(topic.name, 0, 3, 9),))
    assert read(client, inside) == []


@contextmanager
def a_cleaner_that_does_not_rest(client: Mapping[str, str]) -> Iterator[None]:
    """Have the broker look for something to compact at once, not after its 15 seconds."""
    admin = admin_of(client)

    def rest(operation: AlterConfigOpType) -> None:
        entry = ConfigEntry("log.cleaner.backoff.ms", "100", incremental_operation=operation)
        for broker in admin.list_topics(timeout=10).brokers:
            one = ConfigResource(ResourceType.BROKER, str(broker), incremental_configs=[entry])
            for future in admin.incremental_alter_configs([one]).values():
                future.result(10)

    rest(AlterConfigOpType.SET)
    yield
    rest(AlterConfigOpType.DELETE)


def until_compacted(client: Mapping[str, str], frozen: Frozen) -> list[tuple[int, bytes | None]]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = [(one.position.offset, one.key) for one in by_librdkafka(client, frozen)]
        if found[0][0] > 0:
            return found
    pytest.fail("the broker does not compact")


@pytest.mark.stack
def test_values_come_with_key_headers_record_time_and_place(
    client: dict[str, str], topic: KafkaTopic
) -> None:
    topic.create(partitions=2).put(
        Put(b"\x00\xff\n", NOON, 1, b"k", [("h", b"1"), ("h", b"\xff"), ("none", None)]),
        Put(None, NOON + 1, 1, b"tombstone"),
        Put(b"", NOON + 2, 1, b""),
    )

    found = read(client, freeze(client, [topic.name]))

    headers = (("h", b"1"), ("h", b"\xff"), ("none", b""))
    assert found == [
        Candidate(Position(topic.name, 1, 0), b"\x00\xff\n", b"k", headers, NOON),
        Candidate(Position(topic.name, 1, 1), None, b"tombstone", (), NOON + 1),
        Candidate(Position(topic.name, 1, 2), b"", b"", (), NOON + 2),
    ]


@pytest.mark.stack
def test_more_values_than_come_at_once_come_in_their_order(
    client: dict[str, str], topic: KafkaTopic
) -> None:
    topic.create().put(*(Put(b"%d" % n) for n in range(25_000)))

    found = read(client, freeze(client, [topic.name]))

    assert [(one.position.offset, one.value) for one in found] == [
        (n, b"%d" % n) for n in range(25_000)
    ]


@pytest.mark.stack
def test_every_missing_topic_is_named_and_none_is_created(
    client: dict[str, str], topic: KafkaTopic, prefix: str
) -> None:
    topic.create()
    gone = [prefix + "gone", prefix + "too"]

    with pytest.raises(ConfigError) as caught:
        freeze(client, [gone[0], topic.name, gone[1]])

    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        f"topic {name}" for name in gone
    ]
    assert not set(gone) & set(admin_of(client).list_topics(timeout=10).topics)


@pytest.mark.stack
def test_no_group_is_joined_and_nothing_is_committed(
    client: dict[str, str], topic: KafkaTopic
) -> None:
    topic.create().put(Put(b"0"), Put(b"1"))
    before = groups(client)

    read(client, freeze(client, [topic.name], since_ms=NOON))

    assert groups(client) == before
    assert list(commits(client, "masswatch-slice-never-joined")) == []


def groups(client: dict[str, str]) -> set[str]:
    admin = admin_of(client)
    listed = admin.list_consumer_groups().result(10)
    assert not listed.errors
    return {one.group_id for one in listed.valid}


def commits(client: dict[str, str], group: str) -> Iterator[object]:
    admin = admin_of(client)
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    for future in asked.values():
        yield from future.result(10).topic_partitions


def test_a_broker_that_is_away_is_told_when_freezing() -> None:
    nobody = {"bootstrap.servers": "127.0.0.1:1"}

    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1: .*: is the broker there"):
        freeze(nobody, ["topic"], within=SECOND)


def test_a_broker_that_is_away_is_told_when_reading() -> None:
    reader = SliceReader({"bootstrap.servers": "127.0.0.1:1"}, within=SECOND)

    with pytest.raises(BrokerUnavailable, match=r"t\[0\]@0\.\.1: .*: is the broker there"):
        list(reader.read(Range("t", 0, 0, 1)))
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1: no broker answers: start it"):
        SiftedSlices({"bootstrap_servers": "127.0.0.1:1"}, Everything(), SECOND)

    reader.close()


@pytest.mark.stack
@pytest.mark.parametrize("how", ["stops", "hangs"])
def test_a_broker_that_goes_away_in_the_middle_is_told(own_stack: Stack, how: str) -> None:
    client = {"bootstrap.servers": own_stack.bootstrap_servers}
    # More than librdkafka hands out at once and fetches ahead of its reader.
    topic = KafkaTopic("audit", client).create().put(*(Put(b"x" * 100_000) for _ in range(2_500)))
    [wanted] = freeze(client, [topic.name]).ranges
    reader = SliceReader(client, within=2 * SECOND)
    values = reader.read(wanted)
    got = len(next(values))
    sifting = SiftedSlices(aiokafka_of(client), Sieve(), 2 * SECOND)
    sifted = sifting.read(*astuple(wanted))
    sifted_count = next(sifted).count

    if how == "stops":
        down(own_stack.folder)
    else:
        os.kill(own_stack.kafka.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BrokerUnavailable, match=r"audit\[0\]@0\.\.2500: nothing comes for 2 s"):
            got += sum(map(len, values))
        with pytest.raises(BrokerUnavailable, match=r"audit\[0\]@0\.\.2500: nothing comes for 2 s"):
            sifted_count += sum(one.count for one in sifted)
    finally:
        if how == "hangs":
            os.kill(own_stack.kafka.pid, signal.SIGCONT)
        reader.close()
        sifting.close()

    assert 0 < got < 2_500
    assert 0 < sifted_count < 2_500
