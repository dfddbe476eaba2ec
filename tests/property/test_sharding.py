"""A backtest says the same to the byte, however its records lie and whoever scans them."""

import json
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shards import HeldShard

from pipeline.backtest.engine import run
from pipeline.backtest.judging import Question
from pipeline.backtest.result import NamedPolicy
from pipeline.core.evidence import Matching
from pipeline.core.policy import Policy
from pipeline.core.window import Window, Windows
from pipeline.report.document import document_of
from pipeline.simulate.simulation import Plan, generate
from pipeline.slices.files import shards_of
from pipeline.slices.shard import Slice

PLAN = Plan(
    seed=7,
    tenants=5,
    audit_events=250,
    malformed=12,
    duration=timedelta(days=3),
    many_lines=False,  # so that a line of a file can hold any value
)
POLICIES = (
    NamedPolicy("repaired", Policy()),
    NamedPolicy("faithful", Policy(matching=Matching.FAITHFUL)),
    NamedPolicy(
        "narrow",
        Policy(windows=Windows(evidence=Window(timedelta(days=2), timedelta(hours=6)))),
    ),
)
QUESTION = Question(POLICIES)

Values = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def values() -> Values:
    """Topic and value of everything that was sent."""
    return [(one.kind.value, one.value) for one in generate(PLAN)]


@pytest.fixture(scope="module")
def reference(values: Values) -> bytes:
    """What is said when each topic has one partition, scanned at once."""
    return said([HeldShard(topic, 0, 0, tuple(of)) for topic, of in by_topic(values).items()])


def by_topic(values: Values) -> dict[str, list[bytes]]:
    topics: dict[str, list[bytes]] = defaultdict(list)
    for topic, value in values:
        topics[topic].append(value)
    return topics


def said(shards: list[HeldShard], processes: int = 1) -> bytes:
    topics = tuple(sorted({one.topic for one in shards}))
    backtest = run(Slice(tuple(shards), topics), QUESTION, processes=processes)
    return json.dumps(document_of(backtest)).encode()


def dealt(values: Values, random: Random) -> list[HeldShard]:
    """Deal the values, in any order, to partitions, and cut these into shards."""
    shards: list[HeldShard] = []
    for topic, of_topic in by_topic(values).items():
        shuffled = random.sample(of_topic, len(of_topic))
        partitions: dict[int, list[bytes]] = defaultdict(list)
        count = random.randint(1, 9)
        for value in shuffled:
            partitions[random.randrange(count)].append(value)
        for partition, held in partitions.items():
            size = random.randint(1, len(held))
            shards += [
                HeldShard(topic, partition, at, tuple(held[at : at + size]), random.randint(1, 64))
                for at in range(0, len(held), size)
            ]
    random.shuffle(shards)
    return shards


def test_the_reference_holds_alerts_of_every_policy_and_differences(reference: bytes) -> None:
    document = json.loads(reference)

    assert all(len(one["alerts"]) > 5 for one in document["policies"])
    assert all(one["alerts"] for one in document["differences"])
    assert document["malformed"]


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_sharding_gives_the_same_bytes(values: Values, reference: bytes, seed: int) -> None:
    assert said(dealt(values, Random(seed))) == reference


@pytest.mark.parametrize("processes", [2, 5])
def test_any_number_of_processes_gives_the_same_bytes(
    values: Values, reference: bytes, processes: int
) -> None:
    assert said(dealt(values, Random(processes)), processes) == reference


def test_files_cut_anywhere_give_the_same_bytes(
    values: Values, reference: bytes, tmp_path: Path
) -> None:
    wanted = json.loads(reference)
    files = []
    for topic, of_topic in by_topic(values).items():
        files.append(tmp_path / f"{topic}.jsonl")
        files[-1].write_bytes(b"".join(one + b"\n" for one in of_topic))

    for random in map(Random, range(20)):
        random.shuffle(files)
        shards = tuple(shards_of(files, random.randint(2_000, 500_000)))
        document = document_of(run(Slice(shards, ()), QUESTION))

        assert document["policies"] == wanted["policies"]
        assert document["differences"] == wanted["differences"]
        assert document["malformed"] == wanted["malformed"]
