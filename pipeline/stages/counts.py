"""What the stages report as they go, so that the sums can be checked (law 2)."""

from typing import Protocol

from pipeline.core.verdict import Outcome
from pipeline.ports import Status
from pipeline.sources.outcome import Why


class ObserveCounts(Protocol):
    """Counts of the records of opened values; a second delivery counts again."""

    def ignored(self, topic: str, why: Why, records: int = 1) -> None:
        """Records were ignored by rule."""
        ...

    def handled(self, topic: str, kind: str) -> None:
        """A record became a fact of that kind, and the fact is durable."""
        ...

    def dead_lettered(self, topic: str, records: int = 1) -> None:
        """Records went to the DLQ, and are durable there."""
        ...

    def unmapped_workspace(self) -> None:
        """A fact's tenant was taken from a workspace id that the policy does not map."""
        ...

    def too_late(self, kind: str) -> None:
        """A record was appended more than the policy's lateness after its event time."""
        ...


class EvaluateCounts(Protocol):
    """Counts of evaluations and of what they published."""

    def evaluated(self, outcome: Outcome) -> None:
        """An assignment was judged."""
        ...

    def unknown(self) -> None:
        """An evaluation was asked for an assignment that the store does not have (any more)."""
        ...

    def published(self, status: Status) -> None:
        """A revision was published."""
        ...
