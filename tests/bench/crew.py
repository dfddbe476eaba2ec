"""Whole workers, side by side, that drain a topic of audit events."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipeline.core.errors import MasswatchError
from pipeline.demo.fleet import Worker, until
from pipeline.localstack import Addresses

from .measure import cpu_of
from .records import Load
from .result import Result
from .topic import HeldBack

READY_WITHIN: Final = 60.0
_SECONDS_AT_MOST: Final = 600.0
_AT_REST_SECONDS: Final = 1.0
_AT_REST_SHARE: Final = 0.1
_LOOKS_EVERY: Final = 0.05


def settings_of(addresses: Addresses, audit: str) -> dict[str, str]:
    """Return the settings of a worker that reads one topic, and shares nothing with others."""
    return {
        "KAFKA__BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
        "KAFKA__APPLICATION_ID": audit,
        "KAFKA__TOPICS__AUDIT": audit,
        "REDIS__URL": addresses.redis_url,
        "REDIS__NAMESPACE": audit,
    }


class Crew:
    """Workers of one group; made by `crew`."""

    def __init__(self, workers: list[Worker], audit: str) -> None:
        self.workers = workers
        self._audit = audit

    def cpu(self) -> float:
        """Return the seconds of CPU of all of them so far."""
        return sum(cpu_of(worker.pid) for worker in self.workers)

    def come_to_rest(self) -> float:
        """Wait until they do next to nothing; return the share of a core each still takes."""
        share = 1.0
        while share > _AT_REST_SHARE:
            cpu = self.cpu()
            time.sleep(_AT_REST_SECONDS)
            share = (self.cpu() - cpu) / _AT_REST_SECONDS / len(self.workers)
        return share

    def total(self, metric: str, about: str = "") -> float:
        """Return the sum of a metric over workers and labels; only samples whose name says so."""
        return sum(
            value
            for worker in self.workers
            for name, value in worker.metrics().items()
            if name.partition("{")[0] == metric and about in name
        )

    def drain(self, held: HeldBack, load: Load) -> Result:
        """Release the records and wait until every one has been fetched and handled.

        Asking a worker for its metrics takes it milliseconds, so they are asked only when they
        seem to have nothing left to do.

        Raises:
            MasswatchError: they were not done in time.
        """
        fetched, ignored = self._counted()
        all_of_it = fetched + load.values, ignored + load.opened
        cpu, began = self.cpu(), time.perf_counter()
        held.release()
        used, ended = cpu, began
        while time.perf_counter() - began < _SECONDS_AT_MOST:
            before, used = used, self.cpu()
            now = time.perf_counter()
            if used - before > _LOOKS_EVERY / 2:
                ended = now
            elif now - ended > 2 * _LOOKS_EVERY and self._counted() == all_of_it:
                return Result(used - cpu, ended - began, load.records, load.hits)
            time.sleep(_LOOKS_EVERY)
        raise MasswatchError(f"{self._audit}: not done: see {self.workers[0].log}")

    def _counted(self) -> tuple[int, int]:
        """Return how many values were fetched, and how many records of opened ones were ignored."""
        here = f'topic="{self._audit}"'
        fetched = self.total("masswatch_values_fetched_total", here)
        return int(fetched), int(self.total("masswatch_records_ignored_total", here))


@contextmanager
def crew(addresses: Addresses, logs: Path, audit: str, count: int = 1) -> Iterator[Crew]:
    """Start so many workers of one group, and stop them at the end."""
    workers: list[Worker] = []
    try:
        for number in range(count):
            log = logs / f"{audit}.{number}.log"
            workers.append(Worker(settings_of(addresses, audit), log))
        for worker in workers:
            until(worker.is_ready, "worker ready", READY_WITHIN)
        yield Crew(workers, audit)
    finally:
        for worker in workers:
            worker.stop()
