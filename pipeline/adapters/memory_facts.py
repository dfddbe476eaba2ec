"""`FactStore` in memory: the twin of `RedisFacts` for backtests and tests. It forgets nothing."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

from pipeline.core.event_time import EventTime
from pipeline.core.evidence import Key, keys_of, window_of
from pipeline.core.model import (
    Assignment,
    AssignmentId,
    Behavior,
    Evidence,
    Fact,
    GraphRequest,
    Position,
    Risk,
    Seen,
)
from pipeline.core.window import Windows
from pipeline.ports import Dossier, Latest

_Place = tuple[str, Key]


class MemoryFacts:
    """Facts of one process, for good.

    Args:
        windows: The windows of the policy.
    """

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._variants: dict[AssignmentId, dict[Assignment, Position]] = defaultdict(dict)
        self._assignments_at: dict[_Place, set[Assignment]] = defaultdict(set)
        self._evidence_at: dict[_Place, dict[Evidence, Position]] = defaultdict(dict)
        self._latest: dict[tuple[str, type[Evidence]], EventTime] = {}

    async def add(self, facts: Sequence[Seen[Fact]]) -> None:
        """Keep the facts. See `FactStore`."""
        for seen in facts:
            fact = seen.fact
            places = [(fact.tenant_id, key) for key in keys_of(fact)]
            if isinstance(fact, Assignment):
                self._variants[fact.id].setdefault(fact, seen.position)
                for place in places:
                    self._assignments_at[place].add(fact)
            else:
                of_kind = (fact.tenant_id, type(fact))
                self._latest[of_kind] = max(
                    fact.event_time, self._latest.get(of_kind, fact.event_time)
                )
                for place in places:
                    self._evidence_at[place].setdefault(fact, seen.position)

    async def touched(self, facts: Sequence[Fact]) -> frozenset[AssignmentId]:
        """Return the assignments that the facts touch. See `FactStore`."""
        found: set[AssignmentId] = set()
        for fact in facts:
            if isinstance(fact, Assignment):
                found.add(fact.id)
                continue
            window = window_of(fact, self._windows)
            for key in keys_of(fact):
                found |= {
                    assignment.id
                    for assignment in self._assignments_at.get((fact.tenant_id, key), ())
                    if window.holds(assignment.event_time, fact.event_time)
                }
        return frozenset(found)

    async def dossiers(self, ids: Sequence[AssignmentId]) -> list[Dossier]:
        """Return what is known of assignments. See `FactStore`."""
        return [self._dossier(of) for of in ids]

    async def assignments(self) -> AsyncIterator[AssignmentId]:
        """Iterate over every assignment stored. See `FactStore`."""
        for of in tuple(self._variants):
            yield of

    async def close(self) -> None:
        """Do nothing: memory is given back by itself."""

    def _dossier(self, of: AssignmentId) -> Dossier:
        variants = self._variants.get(of, {})
        evidence: dict[Evidence, Position] = {}
        for assignment in variants:
            for key in keys_of(assignment):
                for fact, position in self._evidence_at.get((of.tenant_id, key), {}).items():
                    window = window_of(fact, self._windows)
                    if window.holds(assignment.event_time, fact.event_time):
                        evidence[fact] = position
        return Dossier(
            id=of,
            variants=tuple(Seen(one, position) for one, position in variants.items()),
            evidence=tuple(Seen(fact, position) for fact, position in evidence.items()),
            latest=self._latest_of(of.tenant_id) if variants else Latest(),
        )

    def _latest_of(self, tenant_id: str) -> Latest:
        return Latest(
            *(self._latest.get((tenant_id, kind)) for kind in (Risk, Behavior, GraphRequest))
        )
