"""The ledger of what was planted, and a batch evaluation that sees only bytes, must agree."""

from collections import Counter
from dataclasses import dataclass, replace

import pytest

from pipeline.backtest.batch import judge
from pipeline.core.event_time import format_event_time
from pipeline.core.evidence import Matching
from pipeline.core.model import Fact
from pipeline.core.policy import Policy
from pipeline.core.verdict import Outcome, Verdict
from pipeline.simulate.delivery import Kind
from pipeline.simulate.expected import ExpectedAlert, Mode
from pipeline.simulate.simulation import Plan, Simulation, generate
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored, Malformed
from pipeline.sources.sieve import Sieve

Place = tuple[Kind, int, int | None]


@dataclass
class Read:
    """What the sieve and the decoder make of a simulation."""

    facts: set[Fact]
    malformed: list[Place]


def read(simulation: Simulation, matching: Matching) -> Read:
    sieve, decode = Sieve(matching), Decoder(matching)
    found, ordinals = Read(set(), []), Counter[Kind]()
    for kind, value, _ in simulation:
        ordinal = ordinals[kind]
        ordinals[kind] += 1
        if not sieve.admits(value):
            continue
        for record in decode(value):
            match record.decoded:
                case Malformed():
                    found.malformed.append((kind, ordinal, record.index))
                case Ignored():
                    pass
                case fact:
                    found.facts.add(fact)
    return found


def said(verdict: Verdict) -> ExpectedAlert:
    """Put a verdict into the words of the ledger."""
    actor = verdict.assignment.actor
    return ExpectedAlert(
        reasons=tuple(verdict.reasons),
        severity=verdict.severity,
        event_time=format_event_time(verdict.event_time),
        risk=tuple(
            sorted({(one.level, format_event_time(one.event_time)) for one in verdict.risk})
        ),
        behaviors=tuple(sorted({(one.behavior_id, one.action_type) for one in verdict.behaviors})),
        ip_addresses=tuple(sorted(verdict.ip_addresses)),
        identities=(actor.upn,) if actor.upn else (),
        actor_object_ids=(actor.object_id,) if actor.object_id else (),
        split_signals=verdict.split_signals,
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("mode", "matching"),
    [(Mode.REPAIRED, Matching.REPAIRED), (Mode.FAITHFUL, Matching.FAITHFUL)],
)
def test_a_batch_evaluation_sees_what_was_planted(
    mode: Mode, matching: Matching, seed: int
) -> None:
    simulation = generate(
        Plan(seed=seed, tenants=6 + seed, audit_events=6_000, malformed=16, story=True)
    )

    found = read(simulation, matching)
    verdicts = judge(found.facts, replace(Policy(), matching=matching))

    seen = {
        (of.tenant_id, of.audit_event_id): said(verdict)
        for of, verdict in verdicts.items()
        if verdict.outcome is Outcome.ALERT
    }
    expected = {
        (tenant_id, event_id): alert
        for tenant_id, alerts in simulation.expected(mode).items()
        for event_id, alert in alerts.items()
    }
    assert seen == expected
    assert {(of.tenant_id, of.audit_event_id) for of in verdicts} == simulation.labels.keys()


def test_exactly_the_spoiled_records_are_malformed() -> None:
    simulation = generate(Plan(seed=3, tenants=8, audit_events=6_000, malformed=60))

    found = read(simulation, Matching.REPAIRED)

    expected = [(one.kind, one.ordinal, one.index) for one in simulation.dead_letters]
    assert len(expected) == 60
    assert Counter(found.malformed) == Counter(expected)
