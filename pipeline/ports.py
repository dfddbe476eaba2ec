"""What the stages need from the world, by role. Each port states its promise, not its means."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pipeline.core.event_time import EventTime
from pipeline.core.model import (
    Assignment,
    AssignmentId,
    Evidence,
    Fact,
    Position,
    Seen,
)
from pipeline.core.verdict import Verdict

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value that the sieve let through, whole, as Kafka has it."""

    position: Position
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int = 0


class Spots(Protocol):
    """Finds decisive words in bytes, of one value or of many that lie together."""

    def spots(self, data: bytes | memoryview) -> Sequence[int]:
        """Return the end offset of every decisive word in the data, ascending."""
        ...


class Sieve(Spots, Protocol):
    """Tells by bytes alone which values can be dropped without being decoded (law 4).

    A value in which `spots` finds no whole word can be dropped.
    """

    def admits(self, value: bytes) -> bool:
        """Tell whether one value holds a decisive word."""
        ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record nobody could use: the whole value, why, and which record of it.

    `index` None means the value as a whole; then `records` of it are meant.
    """

    candidate: Candidate
    reason: str
    index: int | None
    records: int = 1


@dataclass(frozen=True, slots=True)
class Latest:
    """The event time of a tenant's latest fact of each kind of evidence; None: there is none."""

    risk: EventTime | None = None
    behavior: EventTime | None = None
    graph: EventTime | None = None


@dataclass(frozen=True, slots=True)
class Dossier:
    """What the store knows of one assignment: its variants and whatever may be its evidence.

    `latest` is of its whole tenant, whomever the facts are about.
    """

    id: AssignmentId
    variants: tuple[Seen[Assignment], ...]
    evidence: tuple[Seen[Evidence], ...]
    latest: Latest = Latest()


class FactStore(Protocol):
    """Facts of every tenant, kept for the retention of the policy from their last writing.

    Every method raises `StoreUnavailable` when the store does not answer or does not confirm
    all of it; the call may then be repeated whole.
    """

    async def add(self, facts: Sequence[Seen[Fact]]) -> None:
        """Keep the facts; on return they are seen by every later read of any worker.

        Adding a fact again changes nothing but its life, and the first position stays.
        """
        ...

    async def touched(self, facts: Sequence[Fact]) -> frozenset[AssignmentId]:
        """Return the stored assignments whose window holds one of the facts, by a shared key.

        To be asked of facts that have just been added. An assignment touches itself. May return
        too many, never too few. The assignments returned are kept as long as if they had been
        written now.
        """
        ...

    async def dossiers(self, ids: Sequence[AssignmentId]) -> list[Dossier]:
        """Return, in the order asked, all variants and all facts that share a key with one.

        An unknown assignment has a dossier without variants. Evidence may be too much (other
        times, other spellings), never too little; no fact stands twice. `latest` may be too
        early for a moment, while facts are added.
        """
        ...

    def assignments(self) -> AsyncIterator[AssignmentId]:
        """Iterate over every assignment stored; one may come more than once."""
        ...

    async def close(self) -> None:
        """Give back what the store holds open."""
        ...


class RequestSink(Protocol):
    """Where evaluation requests go."""

    async def send(self, ids: Sequence[AssignmentId]) -> None:
        """Ask for evaluations; on return the requests are durable.

        Raises:
            BrokerUnavailable: not all were confirmed; sending all again does no harm.
        """
        ...


class DeadLetterSink(Protocol):
    """Where dead letters go: the topic named like the record's own with `.dlq` behind it."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters; on return they are durable.

        Raises:
            BrokerUnavailable: not all were confirmed; sending all again does no harm.
        """
        ...


class Status(StrEnum):
    """What a revision says of its alert."""

    ACTIVE = "active"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a source has been read, by whichever workers; None: not known.

    Attributes:
        last_record_at: When a record of it was last read, of whichever tenant and content.
        read_to: Whatever had been appended to its topics before this time has been taken into
            account.
    """

    last_record_at: EventTime | None = None
    read_to: EventTime | None = None


@dataclass(frozen=True, slots=True)
class Reaches:
    """How far each source of evidence has been read."""

    identity_info: Reach = Reach()
    behavior_entities: Reach = Reach()
    graph_activity: Reach = Reach()


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh the evidence was that a revision could go by: it depends on arrival alone."""

    reaches: Reaches = Reaches()
    latest: Latest = Latest()


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of an alert, as it is published.

    `sources` gives, for the id of each variant and each piece of evidence, where it was first
    seen; `detected_at` is when this revision was made.
    """

    verdict: Verdict
    number: int
    status: Status
    detected_at: EventTime
    sources: tuple[tuple[str, Position], ...]
    policy_digest: str
    freshness: Freshness = Freshness()


@dataclass(frozen=True, slots=True)
class Published:
    """What the last revision of an alert said."""

    number: int
    status: Status
    digest: str
    evidence: tuple[Seen[Evidence], ...]
    evidence_truncated: bool = False


class AlertLog(Protocol):
    """The alerts of one partition, in the hands of its one writer."""

    def last(self, alert_id: str) -> Published | None:
        """Return the last revision of an alert, of whichever writer, or None."""
        ...

    async def publish(self, revisions: Sequence[Revision]) -> None:
        """Publish all of the revisions or none; afterwards readers and `last` see them.

        Raises:
            LostOwnership: another writer may have taken over, or the outcome is unknown. This
                log is of no use any more; decide again after a new take-over.
        """
        ...


Ready = Callable[[], Awaitable[bool]]
"""Waits until effects are allowed; false when the batch in hand is no longer ours to finish."""
