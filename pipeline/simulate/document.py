"""The document `expected.json`: what must come of a simulation, in the shape of the samples'."""

from dataclasses import asdict
from typing import Final

from pipeline.simulate.delivery import Kind
from pipeline.simulate.expected import (
    AFTER,
    BEFORE,
    GRAPH_SPAN,
    ExpectedAlert,
    ExpectedDeadLetter,
    Mode,
)
from pipeline.simulate.moments import SECOND
from pipeline.simulate.simulation import Simulation
from topics.catalogue import Sources

JsonObject = dict[str, object]

FILES: Final = {
    Kind.AUDIT: f"{Sources().audit[0]}.jsonl",
    Kind.IDENTITY_INFO: f"{Sources().identity_info[0]}.jsonl",
    Kind.BEHAVIOR_ENTITIES: f"{Sources().behavior_entities[0]}.jsonl",
    Kind.GRAPH_ACTIVITY: f"{Sources().graph_activity[0]}.jsonl",
}
"""The file of each kind, named like its topic."""


def expectation_of(simulation: Simulation) -> JsonObject:
    """Return what must come of a simulation that has been iterated over.

    `line` is the ordinal of a value within its kind, in order of arrival.
    """
    return {
        "malformed": [_letter_json(letter) for letter in simulation.dead_letters],
        "matching": {
            mode.value: {
                "alerts": {
                    tenant_id: {event_id: _alert_json(alert) for event_id, alert in alerts.items()}
                    for tenant_id, alerts in sorted(simulation.expected(mode).items())
                },
                "open": {},
            }
            for mode in Mode
        },
        "planted": [
            {"tenant_id": tenant_id, "audit_event_id": event_id, "case": label}
            for (tenant_id, event_id), label in simulation.labels.items()
        ],
        "windows": {
            "before_seconds": BEFORE // SECOND,
            "after_seconds": AFTER // SECOND,
            "graph_seconds": GRAPH_SPAN // SECOND,
        },
    }


def _alert_json(alert: ExpectedAlert) -> JsonObject:
    return asdict(alert)


def _letter_json(letter: ExpectedDeadLetter) -> JsonObject:
    return {
        "certain": True,
        "file": FILES[letter.kind],
        "kind": letter.kind.value,
        "line": letter.ordinal,
        "index": letter.index,
        "reason": letter.reason,
    }
