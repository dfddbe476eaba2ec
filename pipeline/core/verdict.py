"""What an evaluation says of one assignment: an alert, a withheld one, or nothing."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from typing import Final

from pipeline.core.event_time import EventTime
from pipeline.core.model import (
    Actor,
    App,
    Assignment,
    AssignmentId,
    Behavior,
    Fact,
    GraphRequest,
    Risk,
)
from pipeline.core.policy import Reason, Severity

DETECTION_ID: Final = "intune-mass-required-assignment"
DETECTION_VERSION: Final = "1.0.0"
DETECTION_TITLE: Final = "Risky admin makes an app Required for everybody in Intune"
TECHNIQUES: Final = ("T1072",)

_ALERT_IDS: Final = uuid.UUID("5b0a2c4e-7d19-5a63-9a0b-3f6a1f0e7c52")
_NAMES: Final[Mapping[type, tuple[str, ...]]] = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (Assignment, Actor, App, Risk, Behavior, GraphRequest)
}
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


class Outcome(StrEnum):
    """What follows from a verdict."""

    ALERT = "alert"
    WITHHELD = "withheld"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Withholding:
    """A reason that held and does not count, and the policy entry that took it away."""

    reason: Reason
    entry: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """An assignment judged: what holds, what counts, and all of the evidence that was seen.

    `assignment` is the earliest variant, then that of the lowest bytes. At most 500 variants are
    listed, the earliest first, and at most 500 facts a kind of evidence, the latest first;
    `evidence_truncated` tells whether there was more.
    """

    assignment: Assignment
    variants: tuple[Assignment, ...]
    target_types: tuple[str, ...]
    split_signals: bool
    reasons: tuple[Reason, ...]
    withheld: tuple[Withholding, ...]
    severity: Severity
    risk: tuple[Risk, ...]
    behaviors: tuple[Behavior, ...]
    graph: tuple[GraphRequest, ...]
    evidence_truncated: bool
    ip_addresses: tuple[str, ...]
    recommended_actions: tuple[str, ...]

    @property
    def outcome(self) -> Outcome:
        """Tell what follows."""
        if self.reasons:
            return Outcome.ALERT
        return Outcome.WITHHELD if self.withheld else Outcome.QUIET

    @property
    def alert_id(self) -> str:
        """The id of the alert, the same for every revision, worker and run."""
        return alert_id(self.assignment.id)

    @property
    def event_time(self) -> EventTime:
        """When it happened: the earliest copy."""
        return self.assignment.event_time

    @property
    def digest(self) -> str:
        """What this verdict says, hashed: without where and when its records arrived."""
        facts = (self.variants, self.risk, self.behaviors, self.graph)
        said = (
            self.outcome,
            [[fact_id(fact) for fact in of_kind] for of_kind in facts],
            self.target_types,
            self.split_signals,
            self.reasons,
            [(one.reason, one.entry) for one in self.withheld],
            self.severity,
            self.evidence_truncated,
            self.ip_addresses,
            self.recommended_actions,
        )
        return _hash(_canonical(said))


@lru_cache(maxsize=8192)  # asked for several times on the way from request to alert
def alert_id(of: AssignmentId) -> str:
    """Return the UUIDv5 of tenant, detection and audit event; no text can forge another's."""
    return str(uuid.uuid5(_ALERT_IDS, _canonical((of.tenant_id, DETECTION_ID, of.audit_event_id))))


@lru_cache(maxsize=8192)  # for the digest, the sources and the evidence of an alert
def fact_id(fact: Fact) -> str:
    """Name a fact by a hash of its content: 16 hexadecimal digits."""
    return _hash(canonical(fact))[:16]


@lru_cache(maxsize=8192)  # an alert of many facts is judged again for each one that joins them
def canonical(fact: Fact) -> str:
    """Write a fact as text, the same for equal facts and another for any other."""
    return _canonical((type(fact).__name__, _plain(fact)))


def _plain(part: Fact | Actor | App) -> list[object]:
    values = [getattr(part, name) for name in _NAMES[type(part)]]
    return [_plain(value) if isinstance(value, Actor | App) else value for value in values]


def _canonical(value: object) -> str:
    return _ENCODER.encode(value)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
