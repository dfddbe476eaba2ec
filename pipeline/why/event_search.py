"""Search a slice for one audit event: its raw records, whatever became of them, and the facts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pipeline.core.model import Assignment, AssignmentId, Evidence, Fact, Position, Seen
from pipeline.core.policy import Policy
from pipeline.ports import Candidate
from pipeline.slices.progress import Progress, Watch
from pipeline.slices.shard import Chunk, Slice
from pipeline.sources.conditions import (
    Condition,
    conditions_of,
    owner_of,
    stated_id,
    unreadable_text,
)
from pipeline.sources.decode import Decoder, taken_apart
from pipeline.sources.finder import Finder
from pipeline.sources.outcome import Decoded, Ignored, Malformed, Record
from pipeline.sources.reading import Json
from pipeline.sources.sieve import Sieve

ASKED_TENANT: Final = "asked_tenant"
"""Names the condition that a record belongs to the tenant that was asked for."""

RECORDS_AT_MOST: Final = 1_000
"""Raw records that are kept; an event comes a few times, a wrong id may be everywhere."""


@dataclass(frozen=True, slots=True)
class RecordSeen:
    """A record of the event that was asked about, and what became of it."""

    position: Position
    conditions: tuple[Condition, ...]
    became: str
    is_dead_letter: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of an event: its records, and as an assignment its variants and evidence.

    Evidence may be too much, as in a `Dossier`.
    """

    records: tuple[RecordSeen, ...] = ()
    variants: tuple[Seen[Assignment], ...] = ()
    evidence: tuple[Seen[Evidence], ...] = ()


def search(of: Slice, asked: AssignmentId, policy: Policy, watch: Watch = lambda _: None) -> Found:
    """Read a slice to its end, for one event and the facts of its tenant.

    Args:
        of: What to read.
        asked: The event; its id is found in any case, as people type it.
        policy: How values are read.
        watch: Told now and then how far it is.

    Raises:
        ConfigError: a file cannot be read.
        BrokerUnavailable: the broker does not answer.
    """
    found = _Search(asked, policy)
    total, values, done = sum(one.units for one in of.shards), 0, 0
    for shard in of.shards:
        for chunk in shard.chunks():
            found.look_through(chunk)
            values, done = values + len(chunk), done + chunk.units
            watch(Progress(values, done, total))
    return found.found()


@dataclass(slots=True)
class _Seen:
    records: dict[Position, RecordSeen] = field(default_factory=dict)
    facts: dict[Fact, Position] = field(default_factory=dict)


class _Search:
    def __init__(self, asked: AssignmentId, policy: Policy) -> None:
        self._asked = asked
        self._wanted = asked.audit_event_id.lower()
        self._workspaces: Mapping[str, str] = policy.workspaces
        self._sieve = Sieve(policy.matching)
        self._finder = Finder(asked.audit_event_id)
        self._decode = Decoder(policy.matching, policy.workspaces)
        self._seen = _Seen()

    def look_through(self, chunk: Chunk) -> None:
        """Open what may hold a fact, or the id."""
        opened = set()
        for spots in (self._sieve, self._finder):
            for candidate in chunk.candidates(spots):
                if candidate.position not in opened:
                    opened.add(candidate.position)
                    self._open(candidate)

    def found(self) -> Found:
        """Return what was found so far."""
        seen = self._seen
        ours = [one for one in seen.facts if isinstance(one, Assignment) and self._is_wanted(one)]
        chosen = _chosen({one.audit_event_id for one in ours}, self._asked.audit_event_id)
        return Found(
            records=tuple(seen.records[position] for position in sorted(seen.records)),
            variants=tuple(
                Seen(one, seen.facts[one]) for one in ours if one.audit_event_id == chosen
            ),
            evidence=tuple(
                Seen(one, at) for one, at in seen.facts.items() if not isinstance(one, Assignment)
            )
            if ours
            else (),
        )

    def _open(self, candidate: Candidate) -> None:
        value, records = candidate.value, self._decode(candidate.value)
        for record in records:
            fact = record.decoded
            if isinstance(fact, Ignored | Malformed) or fact.tenant_id != self._asked.tenant_id:
                continue
            position = _position(candidate, record)
            self._seen.facts[fact] = min(position, self._seen.facts.get(fact, position))
        is_named = bool(value) and bool(self._finder.spots(value or b""))
        if not is_named and not any(self._is_wanted(one.decoded) for one in records):
            return
        for record, seen in self._records_of_the_event(value or b"", records):
            if len(self._seen.records) < RECORDS_AT_MOST:
                self._seen.records[_position(candidate, record)] = RecordSeen(
                    _position(candidate, record),
                    (*conditions_of(seen, self._workspaces), self._asked_for(seen)),
                    _became(record.decoded),
                    isinstance(record.decoded, Malformed),
                )

    def _records_of_the_event(
        self, value: bytes, records: list[Record]
    ) -> "Iterator[tuple[Record, Json | Malformed]]":
        parts = [part for _, part in taken_apart(value)] if value.strip() else []
        pairs = list(zip(records, parts, strict=False))
        stating = [
            (record, part)
            for record, part in pairs
            if self._is_wanted(record.decoded)
            or stated_id(part).lower() == self._wanted
            or self._wanted in unreadable_text(part).lower()
        ]
        if stating:
            yield from stating
        elif self._wanted.encode() in value.lower():
            yield from (one for one in pairs if isinstance(one[1], Malformed))

    def _is_wanted(self, decoded: Decoded) -> bool:
        return isinstance(decoded, Assignment) and decoded.audit_event_id.lower() == self._wanted

    def _asked_for(self, record: "Json | Malformed") -> Condition:
        tenant = owner_of(record, self._workspaces).tenant_id
        return Condition(
            name=ASKED_TENANT,
            asks=f"its tenant is the one asked for, {self._asked.tenant_id}",
            holds=tenant == self._asked.tenant_id if tenant else None,
            found=tenant,
        )


def _chosen(ids: set[str], asked: str) -> str:
    """Prefer the spelling asked for: ids that differ in case alone are two events."""
    return asked if asked in ids else min(ids, default="")


def _position(candidate: Candidate, record: Record) -> Position:
    where = candidate.position
    return Position(where.topic, where.partition, where.offset, record.index)


def _became(decoded: Decoded) -> str:
    match decoded:
        case Ignored(why):
            return f"ignored: {why.value}"
        case Malformed(reason):
            return f"dead letter: {reason}"
        case _:
            return type(decoded).__name__.lower()
