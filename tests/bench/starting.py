"""Starting: from the start of a worker's process until it says that it is ready."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.core.errors import MasswatchError
from pipeline.demo.fleet import Worker
from pipeline.localstack import Addresses, wait

from . import topic
from .crew import READY_WITHIN, settings_of
from .measure import cpu_of

_LOOKS_EVERY: Final = 0.01


@dataclass(frozen=True, slots=True)
class Started:
    """Seconds until ready, and the seconds of CPU that it took."""

    seconds: float
    cpu_seconds: float


def rounds(addresses: Addresses, logs: Path, count: int) -> Iterator[tuple[Started, Started]]:
    """Yield so many pairs: a group's and namespace's very first worker, and one that comes back."""
    for number in range(count):
        audit = f"bench.start.{number}"
        topic.create(addresses.client, audit)
        try:
            yield _start(addresses, logs, audit), _start(addresses, logs, audit)
        finally:
            topic.delete(addresses.client, audit)


def _start(addresses: Addresses, logs: Path, audit: str) -> Started:
    began = time.perf_counter()
    worker = Worker(settings_of(addresses, audit), logs / f"{audit}.log")
    try:
        if not wait.until(worker.is_ready, within=READY_WITHIN, every=_LOOKS_EVERY):
            raise MasswatchError(f"worker {worker.pid}: not ready: see {worker.log}")
        return Started(time.perf_counter() - began, cpu_of(worker.pid))
    finally:
        worker.stop()
