"""What the contract says of the samples, against the batch evaluation of them."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.backtest.engine import run
from pipeline.backtest.judging import Question
from pipeline.backtest.result import NamedPolicy
from pipeline.backtest.slicing import slice_of_files
from pipeline.core.event_time import format_event_time
from pipeline.core.evidence import Matching
from pipeline.core.model import Fact
from pipeline.core.policy import Policy
from pipeline.core.verdict import Verdict
from pipeline.core.window import Windows
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored, Malformed
from pipeline.sources.sieve import Sieve

SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # the contract lists no other ids

pytestmark = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="the folder of samples is not beside this project"
)

Place = tuple[str, int, int | None]


class LetEverythingThrough(Sieve):
    """A sieve that drops nothing, to see what decoding alone says."""

    def admits(self, value: bytes | memoryview) -> bool:
        return value is not None


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((SAMPLES / "expected-contract.json").read_bytes())
    return expected


@dataclass
class Read:
    """What the samples hold, and which records of them are malformed, with their reasons."""

    values: int = 0
    opened: int = 0
    facts: set[Fact] = field(default_factory=set)
    malformed: list[tuple[Place, str]] = field(default_factory=list)


def read(matching: Matching, *, sieve: Sieve | None = None) -> Read:
    sieve, decode, found = sieve or Sieve(matching), Decoder(matching), Read()
    for path in sorted(SAMPLES.glob("*.jsonl")):
        for line, value in enumerate(path.read_bytes().splitlines()):
            found.values += 1
            if not sieve.admits(value):
                continue
            found.opened += 1
            for record in decode(value):
                match record.decoded:
                    case Ignored():
                        pass
                    case Malformed(reason):
                        found.malformed.append(((path.name, line, record.index), reason))
                    case fact:
                        found.facts.add(fact)
    return found


def said(verdict: Verdict) -> dict[str, object]:
    """Put a verdict into the words of the contract's file."""
    return {
        "reasons": list(verdict.reasons),
        "risk": sorted({(one.level, format_event_time(one.event_time)) for one in verdict.risk}),
        "behaviors": sorted({(one.behavior_id, one.action_type) for one in verdict.behaviors}),
        "ip_addresses": sorted(verdict.ip_addresses),
        "split_signals": verdict.split_signals,
        "identities": sorted({one.identity for one in verdict.variants}),
        "actor_object_ids": sorted(
            {one.actor.object_id for one in verdict.variants if GUID.fullmatch(one.actor.object_id)}
        ),
    }


def without_own_ids(alerts: dict[str, dict[str, object]]) -> list[tuple[str, str, str]]:
    """List alerts by tenant and id; an event without an id is known by its content alone."""
    return sorted(
        (
            tenant,
            "no-id" if event_id.startswith("no-id:") else event_id,
            json.dumps(content, sort_keys=True),
        )
        for tenant, of_tenant in alerts.items()
        for event_id, content in of_tenant.items()
    )


def test_the_windows_are_the_defaults(contract: dict[str, Any]) -> None:
    windows = Windows()

    assert contract["windows"] == {
        "before_seconds": windows.evidence.before.total_seconds(),
        "after_seconds": windows.evidence.after.total_seconds(),
        "graph_seconds": windows.graph.before.total_seconds(),
    }


@pytest.mark.parametrize("matching", Matching)
def test_the_alerts_of_the_samples_are_those_of_the_contract(
    contract: dict[str, Any], matching: Matching
) -> None:
    expected = contract["matching"][matching]

    alerts: dict[str, dict[str, object]] = {}
    question = Question((NamedPolicy("", Policy(matching=matching)),))
    samples = slice_of_files(sorted(SAMPLES.glob("*.jsonl")), frozenset(), part_bytes=50_000)
    for judged in run(samples, question).answers[0].alerts:
        of_tenant = alerts.setdefault(judged.verdict.assignment.tenant_id, {})
        of_tenant[judged.verdict.assignment.audit_event_id] = said(judged.verdict)

    assert expected["open"] == {}
    assert without_own_ids(alerts) == without_own_ids(expected["alerts"])


@pytest.mark.parametrize("matching", Matching)
def test_the_sieve_costs_no_fact_of_the_samples(matching: Matching) -> None:
    sieved, whole = read(matching), read(matching, sieve=LetEverythingThrough(matching))

    assert sieved.facts == whole.facts
    assert sieved.opened < whole.opened == sieved.values


@pytest.mark.parametrize("matching", Matching)
def test_the_malformed_records_of_the_samples_are_those_of_the_contract(
    contract: dict[str, Any], matching: Matching
) -> None:
    certain = {place(one) for one in contract["malformed"] if one["certain"]}
    uncertain = {place(one) for one in contract["malformed"] if not one["certain"]}

    found = [at for at, _ in read(matching).malformed]

    assert max(Counter(found).values()) == 1
    assert certain <= set(found) <= certain | uncertain


def test_each_malformed_record_says_why(contract: dict[str, Any]) -> None:
    words = {
        "no readable event time": {
            "time: no readable event time",
            "Timestamp: no readable event time",
        },
        "no tenant": {"tenantId: no tenant"},
        "not JSON": {"not JSON"},
        "not an object": {"not an object"},
        "records is not an array": {"records: not an array"},
        "properties cannot be read": {"Properties: not JSON", "properties: not JSON"},
    }
    expected = {place(one): words[one["reason"]] for one in contract["malformed"]}

    for at, reason in read(Matching.REPAIRED).malformed:
        assert reason in expected[at]


def test_every_sample_is_counted(contract: dict[str, Any]) -> None:
    found = read(Matching.REPAIRED, sieve=LetEverythingThrough())

    assert contract
    assert found.values == 488 + 410 + 45 + 223


def place(entry: dict[str, Any]) -> Place:
    return entry["file"], entry["line"], entry["index"]
