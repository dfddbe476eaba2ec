"""Scan a shard: values through sieve and decoder, as live, into facts on the disk."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.backtest.result import Faults, NamedPolicy, Read
from pipeline.backtest.spill import Sighting, Spill
from pipeline.core.evidence import Matching
from pipeline.core.model import Position
from pipeline.core.policy import Policy
from pipeline.ports import Candidate
from pipeline.slices.shard import Shard
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Decode, Ignored, Malformed
from pipeline.sources.sieve import AnySieve, Sieve
from pipeline.sources.sieving import SievingDecoder


class Reading(NamedTuple):
    """How values are read: policies that agree in this share their facts."""

    matching: Matching
    workspaces: tuple[tuple[str, str], ...]


def reading_of(policy: Policy) -> Reading:
    """Return how a policy has values read."""
    return Reading(policy.matching, tuple(sorted(policy.workspaces.items())))


def readings_of(policies: Sequence[NamedPolicy]) -> tuple[Reading, ...]:
    """Return every reading that some policy needs, each once, that of the first policy first."""
    return tuple(dict.fromkeys(reading_of(one.policy) for one in policies))


@dataclass(slots=True)
class Counted:
    """What a scan has seen, counted by the first reading."""

    values: int = 0
    opened: int = 0
    records: int = 0
    facts: int = 0
    malformed: dict[str, Faults] = field(default_factory=dict)

    def fault(self, reason: str, position: Position) -> None:
        """Count a malformed record."""
        self._join(Faults(reason, 1, position))

    def add(self, other: "Counted") -> None:
        """Add what another scan has seen."""
        self.values += other.values
        self.opened += other.opened
        self.records += other.records
        self.facts += other.facts
        for faults in other.malformed.values():
            self._join(faults)

    def read(self) -> Read:
        """Return the counts as a report has them."""
        malformed = tuple(self.malformed[reason] for reason in sorted(self.malformed))
        return Read(self.values, self.opened, self.records, self.facts, malformed)

    def _join(self, faults: Faults) -> None:
        known = self.malformed.get(faults.reason)
        self.malformed[faults.reason] = (
            faults
            if known is None
            else Faults(
                faults.reason, known.records + faults.records, min(known.first, faults.first)
            )
        )


Step = Callable[[int, int], None]
"""Told of progress: values, and units of the shard."""


class Scanner:
    """Scans shards, one after another, in one process.

    Args:
        readings: How values are read.
        tenants: Whose facts are wanted; none means everybody's.
    """

    def __init__(self, readings: Sequence[Reading], tenants: frozenset[str]) -> None:
        self._sieves = {one.matching: Sieve(one.matching) for one in readings}
        self._decoders: Mapping[Matching, list[tuple[int, Decode]]] = defaultdict(list)
        for number, one in enumerate(readings):
            decoder = SievingDecoder(Decoder(one.matching, dict(one.workspaces)))
            self._decoders[one.matching].append((number, decoder))
        self._any = AnySieve(tuple(self._sieves.values()))
        self._tenants = tenants

    def scan(self, shard: Shard, spill: Spill, step: Step) -> Counted:
        """Read a shard to its end; the spill is not flushed.

        Raises:
            ConfigError: a file cannot be read.
            BrokerUnavailable: the broker does not answer.
        """
        counted = Counted()
        for chunk in shard.chunks(self._any):
            values = len(chunk)
            for matching, sieve in self._sieves.items():
                for candidate in chunk.candidates(sieve):
                    for number, decoder in self._decoders[matching]:
                        facts = self._open(candidate, decoder, counted if number == 0 else None)
                        spill.add(number, facts)
            counted.values += values
            step(values, chunk.units)
        return counted

    def _open(
        self, candidate: Candidate, decode: Decode, counted: Counted | None
    ) -> Iterator[Sighting]:
        counted = Counted() if counted is None else counted
        counted.opened += 1
        where = candidate.position
        for record in decode(candidate.value):
            counted.records += record.records
            if isinstance(record.decoded, Ignored):
                continue
            position = Position(where.topic, where.partition, where.offset, record.index)
            match record.decoded:
                case Malformed(reason):
                    counted.fault(reason, position)
                case fact:
                    if not self._tenants or fact.tenant_id in self._tenants:
                        counted.facts += 1
                        yield Sighting(fact, position, candidate.timestamp_ms or None)
