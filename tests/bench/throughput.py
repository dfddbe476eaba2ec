"""Throughput: one whole worker against a plain Faust agent and a bare loop, on the same records."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.core.errors import MasswatchError
from pipeline.demo.fleet import Worker, until
from pipeline.localstack import Addresses

from . import topic
from .measure import cpu_of
from .records import Traffic, hits_among
from .result import Result, taken_over
from .topic import HeldBack

WORKER: Final = "masswatch worker, whole"
BARE: Final = "confluent-kafka loop, bytes.find"
BARE_SIEVE: Final = "confluent-kafka loop, our sieve"
BACKTEST: Final = "masswatch backtest, one process"
FAUST: Final = "plain Faust agent"
WAYS: Final = (WORKER, BACKTEST, BARE, BARE_SIEVE, FAUST)
FAUST_RECORDS: Final = 30_000

_SECONDS_AT_MOST: Final = 600.0
_AT_REST_SECONDS: Final = 1.0
_AT_REST_SHARE: Final = 0.1
_LOOKS_EVERY: Final = 0.05


@dataclass(frozen=True, slots=True)
class Round:
    """One run of every way, and what the worker used besides: to start, and at rest."""

    results: Mapping[str, Result]
    start_cpu: float
    rest_share: float


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the servers are, where logs go, and what is read."""

    addresses: Addresses
    logs: Path
    traffic: Traffic
    records: int
    codec: str

    @property
    def client(self) -> dict[str, str]:
        """The settings of librdkafka."""
        return {"bootstrap.servers": self.addresses.bootstrap_servers}

    def rounds(self, count: int) -> Iterator[Round]:
        """Yield so many rounds; in each, all ways read the very same topic one after another."""
        for number in range(count):
            audit = f"bench.audit.{self.codec}.{number}"
            topic.create(self.client, audit)
            try:
                yield self._round(audit)
            finally:
                topic.delete(self.client, audit)

    def _round(self, audit: str) -> Round:
        held = HeldBack(self.client, audit, self.traffic, self.records, self.codec)
        worker = Worker(self._settings(audit), self.logs / f"{audit}.log")
        try:
            until(worker.is_ready, "worker ready", 60.0)
            start_cpu = cpu_of(worker.pid)
            rest_share = _come_to_rest(worker)
            whole = self._drain(worker, audit, held)
        finally:
            worker.stop()
        results = {
            WORKER: whole,
            BARE: self._peer("peer_bare", audit, self.records, "find"),
            BARE_SIEVE: self._peer("peer_bare", audit, self.records, "sieve"),
            BACKTEST: self._peer("peer_backtest", audit, self.records),
            FAUST: self._peer("peer_faust", audit, min(self.records, FAUST_RECORDS)),
        }
        return Round(results, start_cpu, rest_share)

    def _settings(self, audit: str) -> dict[str, str]:
        return {
            "KAFKA__BOOTSTRAP_SERVERS": self.addresses.bootstrap_servers,
            "KAFKA__APPLICATION_ID": audit,
            "KAFKA__TOPICS__AUDIT": audit,
            "REDIS__URL": self.addresses.redis_url,
            "REDIS__NAMESPACE": audit,
        }

    def _drain(self, worker: Worker, audit: str, held: HeldBack) -> Result:
        """Release the records and wait until the worker has fetched and handled every one.

        Asking a worker for its metrics takes it milliseconds, so it is asked only when it seems
        to have nothing left to do.
        """
        all_of_it = self.records, hits_among(self.records)
        cpu, began = cpu_of(worker.pid), time.perf_counter()
        held.release()
        used, ended = cpu, began
        while time.perf_counter() - began < _SECONDS_AT_MOST:
            before, used = used, cpu_of(worker.pid)
            now = time.perf_counter()
            if used - before > _LOOKS_EVERY / 2:
                ended = now
            elif now - ended > 2 * _LOOKS_EVERY and _counted(worker, audit) == all_of_it:
                return Result(used - cpu, ended - began, *all_of_it)
            time.sleep(_LOOKS_EVERY)
        raise MasswatchError(f"worker {worker.pid}: not done: see {worker.log}")

    def _peer(self, module: str, audit: str, records: int, *more: str) -> Result:
        group = f"{module}.{'.'.join(more)}.{audit}"
        servers = self.addresses.bootstrap_servers
        ran = subprocess.run(
            [
                *(sys.executable, "-m", f"tests.bench.{module}"),
                *(servers, audit, group, str(records), *more),
            ],
            stdout=subprocess.PIPE,
            text=True,
            timeout=_SECONDS_AT_MOST,
            check=True,
        )
        result = taken_over(ran.stdout)
        if result.records == self.records and result.hits != hits_among(self.records):
            raise MasswatchError(f"{module}: {result.hits} hits: not all records were read once")
        return result


def _counted(worker: Worker, audit: str) -> tuple[int, int]:
    """Return how many values were fetched, and how many records of opened ones were ignored."""
    fetched = ignored = 0.0
    for name, value in worker.metrics().items():
        if f'topic="{audit}"' in name:
            fetched += value if name.startswith("masswatch_values_fetched_total") else 0
            ignored += value if name.startswith("masswatch_records_ignored_total") else 0
    return int(fetched), int(ignored)


def _come_to_rest(worker: Worker) -> float:
    """Wait until the worker does next to nothing; return the share of a core it still takes."""
    share = 1.0
    while share > _AT_REST_SHARE:
        cpu = cpu_of(worker.pid)
        time.sleep(_AT_REST_SECONDS)
        share = (cpu_of(worker.pid) - cpu) / _AT_REST_SECONDS
    return share
