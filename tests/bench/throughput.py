"""Throughput: one whole worker against bare loops and other libraries, on the same records."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pipeline.core.errors import MasswatchError
from pipeline.localstack import Addresses

from . import topic
from .crew import crew
from .records import Load
from .result import WARM_UP, Result, taken_over
from .topic import HeldBack

WORKER: Final = "masswatch worker, whole"
BACKTEST: Final = "masswatch backtest, one process"
BARE: Final = "confluent-kafka loop, bytes.find"
BARE_SIEVE: Final = "confluent-kafka loop, our sieve"
BARE_WHOLE: Final = "confluent-kafka loop, orjson of each envelope"
QUIX: Final = "Quix Streams"
FASTSTREAM_LISTS: Final = "FastStream, lists of records"
FASTSTREAM: Final = "FastStream, a record a call"
FAUST: Final = "plain Faust agent"
IN_AN_ENVELOPE: Final = 130
"""At 1.75 kB each, near the 256 KB above which Microsoft splits."""

_SECONDS_AT_MOST: Final = 600.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Another way of reading, a module that runs as a process of its own.

    Attributes:
        module: Its name in this folder.
        more: What it is called with besides.
        is_guest: Whether the interpreter of the other libraries runs it.
        at_most: How many records it reads, after its first ones; 0: all, from the first one on.
    """

    module: str
    more: tuple[str, ...] = ()
    is_guest: bool = False
    at_most: int = 0


OF_RECORDS: Final[Mapping[str, Peer]] = {
    BACKTEST: Peer("peer_backtest"),
    BARE: Peer("peer_bare", ("find",)),
    BARE_SIEVE: Peer("peer_bare", ("sieve",)),
    QUIX: Peer("peer_quix", is_guest=True, at_most=100_000),
    FASTSTREAM_LISTS: Peer("peer_faststream", ("batch",), is_guest=True, at_most=100_000),
    FASTSTREAM: Peer("peer_faststream", ("one",), is_guest=True, at_most=30_000),
    FAUST: Peer("peer_faust", at_most=30_000),
}
OF_ENVELOPES: Final[Mapping[str, Peer]] = {
    BACKTEST: Peer("peer_backtest"),
    BARE_WHOLE: Peer("peer_bare", ("whole",)),
    BARE: Peer("peer_bare", ("find",)),
}


@dataclass(frozen=True, slots=True)
class Round:
    """One run of every way, and what the worker used besides: to start, and at rest."""

    results: Mapping[str, Result]
    start_cpu: float
    rest_share: float


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the servers are, where logs go, what is read and by whom.

    `guests` is the folder of the virtual environment that has the other libraries.
    """

    addresses: Addresses
    logs: Path
    load: Load
    peers: Mapping[str, Peer]
    guests: Path

    def rounds(self, codec: str, count: int) -> Iterator[Round]:
        """Yield so many rounds; in each, all ways read the very same topic one after another."""
        client = self.addresses.client
        for number in range(count):
            audit = f"bench.audit.{self.load.in_one}.{codec}.{number}"
            topic.create(client, audit, self.load.partitions)
            try:
                yield self._round(audit, codec)
            finally:
                topic.delete(client, audit)

    def _round(self, audit: str, codec: str) -> Round:
        held = HeldBack(self.addresses.client, audit, self.load, codec)
        with crew(self.addresses, self.logs, audit) as whole:
            start_cpu = whole.cpu()
            rest_share = whole.come_to_rest()
            results = {WORKER: whole.drain(held, self.load)}
        for way, peer in self.peers.items():
            results[way] = self._read_by(peer, audit)
        return Round(results, start_cpu, rest_share)

    def _read_by(self, peer: Peer, audit: str) -> Result:
        part = min(peer.at_most, self.load.records - WARM_UP)
        values = part if peer.at_most else self.load.values
        group = f"{peer.module}.{'.'.join(peer.more)}.{audit}"
        python = self.guests / "bin" / "python" if peer.is_guest else sys.executable
        ran = subprocess.run(
            [
                *(python, "-m", f"tests.bench.{peer.module}"),
                *(self.addresses.bootstrap_servers, audit, group, str(values), *peer.more),
            ],
            capture_output=True,
            text=True,
            timeout=_SECONDS_AT_MOST,
            check=False,
        )
        if ran.returncode:
            raise MasswatchError(f"{peer.module}: {ran.returncode}: {ran.stderr[-2000:]}")
        result = taken_over(ran.stdout)
        if peer.at_most:
            return result
        if result.hits not in (self.load.hits, self.load.opened):
            raise MasswatchError(f"{peer.module}: {result.hits} hits: not all was read once")
        return replace(result, records=self.load.records)
