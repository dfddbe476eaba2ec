"""`FactStore` over the namespace of Redis that is in force, wherever a rebuild puts it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

from pipeline.adapters.redis_client import where
from pipeline.adapters.redis_facts import RedisFacts
from pipeline.adapters.redis_latest import KnownLatest
from pipeline.adapters.redis_marks import Moved
from pipeline.adapters.redis_pipelines import Witness
from pipeline.adapters.redis_placement import Placement
from pipeline.core.errors import StoreUnavailable
from pipeline.core.model import AssignmentId, Fact, Seen
from pipeline.core.window import Windows
from pipeline.ports import Dossier

_MOVES_AT_MOST: Final = 5

_Answer = TypeVar("_Answer")


class PlacedFacts:
    """Facts where the pointer says; see `Placement` for the marks.

    Writing, and asking what a fact touches, goes on while the facts are incomplete: a fact that
    stood where the pointer pointed, after its record was fetched, is in every later namespace,
    since a rebuild reads the topics to their end after it has set the pointer. Reading in order
    to decide is refused until all facts are there.

    Args:
        placement: Where the facts are; `close` closes its client.
        windows: The windows of the policy.
    """

    def __init__(self, placement: Placement, windows: Windows) -> None:
        self._placement = placement
        self._windows = windows
        self._namespace: str | None = None
        self._known = KnownLatest()

    async def add(self, facts: Sequence[Seen[Fact]]) -> None:
        """Keep the facts where the pointer points afterwards. See `FactStore`."""
        await self._where_it_points(self._placement.in_force, lambda there: there.add(facts))

    async def touched(self, facts: Sequence[Fact]) -> frozenset[AssignmentId]:
        """Return what the facts touch, where the pointer points afterwards. See `FactStore`."""
        return await self._where_it_points(
            self._placement.in_force, lambda there: there.touched(facts)
        )

    async def dossiers(self, ids: Sequence[AssignmentId]) -> list[Dossier]:
        """Return what is known of assignments, if all is known. See `FactStore`."""
        return await self._where_it_points(
            self._placement.complete, lambda there: there.dossiers(ids)
        )

    async def assignments(self) -> AsyncIterator[AssignmentId]:
        """Iterate over every assignment, while all are known. See `FactStore`."""
        namespace = await self._pointed_to()
        there = self._facts(namespace, self._placement.complete(namespace))
        async for one in there.assignments():
            yield one

    async def close(self) -> None:
        """Close the client."""
        await self._placement.close()

    async def _where_it_points(
        self,
        witness: Callable[[str], Witness],
        ask: Callable[[RedisFacts], Awaitable[_Answer]],
    ) -> _Answer:
        namespace = self._namespace or await self._pointed_to()
        for _ in range(_MOVES_AT_MOST):
            try:
                return await ask(self._facts(namespace, witness(namespace)))
            except Moved as moved:
                self._namespace = moved.to
                if moved.to is None:
                    raise
                namespace = moved.to
        raise StoreUnavailable(
            f"{where(self._placement.client)}: facts are moved again and again: "
            "see that no two rebuilds run at once"
        )

    async def _pointed_to(self) -> str:
        self._namespace = await self._placement.pointer()
        if self._namespace is None:
            raise StoreUnavailable(
                f"{where(self._placement.client)}: has no facts, it is new or was flushed: "
                "being rebuilt"
            )
        return self._namespace

    def _facts(self, namespace: str, witness: Witness) -> RedisFacts:
        return RedisFacts(self._placement.client, namespace, self._windows, witness, self._known)
