"""What tests of the stages share: counts that remember, and readiness that ends."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

from pipeline.core.verdict import Outcome
from pipeline.ports import Ready, Status
from pipeline.sources.outcome import Why

Result = TypeVar("Result")


class Counts:
    """Remembers what a stage reported."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def ignored(self, topic: str, why: Why, records: int = 1) -> None:
        self.seen[f"ignored {why}"] += records

    def handled(self, topic: str, kind: str) -> None:
        self.seen[f"handled {kind}"] += 1

    def dead_lettered(self, topic: str, records: int = 1) -> None:
        self.seen["dead-lettered"] += records

    def unmapped_workspace(self) -> None:
        self.seen["unmapped workspace"] += 1

    def too_late(self, kind: str) -> None:
        self.seen[f"too late {kind}"] += 1

    def evaluated(self, outcome: Outcome) -> None:
        self.seen[f"evaluated {outcome}"] += 1

    def unknown(self) -> None:
        self.seen["unknown"] += 1

    def published(self, status: Status) -> None:
        self.seen[f"published {status}"] += 1


async def always() -> bool:
    return True


def ready_times(times: int) -> Ready:
    """Ready for so many effects, then not ours any more."""
    left = iter([True] * times)

    async def ready() -> bool:
        return next(left, False)

    return ready


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(coroutine)
