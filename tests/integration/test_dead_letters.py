"""Laws 2 and 6 through the real Kafka: the malformed is kept with its place, the rest passes."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from fuzzing import fuzzed
from letters import dead_letters

from pipeline.backtest.batch import judge
from pipeline.core.model import Fact
from pipeline.core.policy import Policy
from pipeline.core.verdict import Outcome
from pipeline.demo.fleet import Worker, until
from pipeline.demo.rig import Rig
from pipeline.localstack import Stack
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored, Malformed
from pipeline.sources.sieve import Sieve
from topics.catalogue import Sources, dlq_of

pytestmark = pytest.mark.stack

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
DLQS = [dlq_of(name) for name in Sources().all]
AUDIT = Sources().audit[0]


@pytest.fixture
def rig(own_stack: Stack, tmp_path: Path) -> Iterator[Rig]:
    """A pipeline on a Kafka and a Redis of its own: the names of our topics are fixed."""
    with Rig(own_stack, tmp_path) as rig:
        yield rig


@pytest.mark.skipif(not SAMPLES.exists(), reason="needs the samples beside the project")
def test_the_dead_letters_of_the_samples_are_the_malformed_ones(rig: Rig) -> None:
    expected = json.loads((SAMPLES / "expected-contract.json").read_bytes())["malformed"]
    files = {path.name: path.read_bytes().split(b"\n") for path in SAMPLES.glob("*.jsonl")}
    rig.wait_until_ready(rig.start_worker())

    # One partition, so that the offset of a value is its line.
    for name, lines in files.items():
        topic = name.removesuffix(".jsonl")
        rig.send(((topic, line) for line in lines if line), partition=0)
    until(rig.is_settled, "every record handled", 60)

    kept = dead_letters(rig.client, DLQS)
    places = {(f"{one.topic}.jsonl", one.offset, one.index) for one in kept}
    certain = {(one["file"], one["line"], one["index"]) for one in expected if one["certain"]}
    uncertain = {(one["file"], one["line"], one["index"]) for one in expected} - certain
    assert certain <= places <= certain | uncertain
    assert all(one.value == files[f"{one.topic}.jsonl"][one.offset] for one in kept)


def test_ten_thousand_fuzzed_values_are_kept_or_ignored_and_hide_no_good_one(rig: Rig) -> None:
    sieve, decode = Sieve(), Decoder()
    values = [value for value, _ in fuzzed(10_000, Random(5))]
    opened = [decode(value) if sieve.admits(value) else [] for value in values]
    malformed = {
        (offset, record.index)
        for offset, records in enumerate(opened)
        for record in records
        if isinstance(record.decoded, Malformed)
    }
    facts: list[Fact] = [
        record.decoded
        for records in opened
        for record in records
        if not isinstance(record.decoded, Ignored | Malformed)
    ]
    worker = rig.start_worker()
    rig.wait_until_ready(worker)

    rig.send(((AUDIT, value) for value in values), partition=0)
    until(rig.is_settled, "every record handled", 120)

    assert {(one.offset, one.index) for one in dead_letters(rig.client, DLQS)} == malformed
    verdicts = judge(facts, Policy()).values()
    alerts = {one.alert_id for one in verdicts if one.outcome is Outcome.ALERT}
    assert set(rig.alerts()) == alerts
    assert alerts
    assert_conserved(worker, len(values), sum(len(records) for records in opened))


def assert_conserved(worker: Worker, values: int, records: int) -> None:
    """Law 2, on a worker that nothing disturbed: every value and every record counted once."""
    sums: dict[str, float] = {}
    for name, value in worker.metrics().items():
        metric, _, labels = name.partition("{")
        if AUDIT in labels:
            sums[metric] = sums.get(metric, 0) + value
    of = {name.removeprefix("masswatch_"): int(value) for name, value in sums.items()}
    assert of["values_fetched_total"] == values
    assert of["values_sieved_total"] + of["values_opened_total"] == values
    ends = ("records_ignored_total", "records_handled_total", "records_dead_lettered_total")
    assert sum(of.get(end, 0) for end in ends) == records
