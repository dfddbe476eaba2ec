"""A long run at full speed: `PYTHONPATH=tests python -m chaos.soak --minutes 20`.

A worker reads all that a producer can write, while assignments and evidence come in between. Its
memory must not grow, its lag must not grow, and its counters must add up.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import linear_regression
from typing import Final

from chaos.checks import conserved
from chaos.history import TOPICS
from chaos.lane import Lane
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.adapters.kafka_admin import apply
from pipeline.demo.fleet import Worker, until
from pipeline.localstack import wait
from pipeline.simulate.simulation import Plan, generate
from pipeline.sources.sieve import Sieve
from topics.catalogue import EVALUATIONS, Sources, catalogue

PARTITIONS: Final = 4
_AUDIT: Final = Sources().audit[0]
SAMPLE_EVERY: Final = 5.0
WARM_UP: Final = 0.25
"""The share of the run whose memory is not looked at: caches fill, buffers find their size."""

MEGABYTES_A_MINUTE: Final = 1.0
SECONDS_BEHIND: Final = 5.0
_LOOP: Final = 64
"""So many different records come again and again; they compress well, and the disk stays small."""

_CANDIDATES_EVERY: Final = 10_000
_AHEAD: Final = 200_000
"""So many values may wait to be read: then the producer waits, so that the reader sets the pace."""

_LOOKS_EVERY: Final = 20_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What is seen of the worker at a moment, in seconds, megabytes, values and values."""

    at: float
    memory: float
    fetched: float
    lag: float


class Flood:
    """Writes to the source topics as fast as it is read, in a thread of its own.

    Sieved values, and between them those of simulated days that never repeat.

    Args:
        client: The settings of a librdkafka client.
        read: Tells how many values have been read.
    """

    def __init__(self, client: Mapping[str, str], read: Callable[[], float]) -> None:
        self._read = read
        self._producer = Producer(
            {**client, "compression.type": "lz4", "linger.ms": "20", "log_level": "0"}
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flood", daemon=True)
        self.sent = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, when all that was written is confirmed."""
        self._stopping.set()
        self._thread.join()
        if left := self._producer.flush(60):
            raise AssertionError(f"{left} values not confirmed")

    def _run(self) -> None:
        sieved = cycle(_sieved())
        for topic, value in _days():
            for one in islice(sieved, _CANDIDATES_EVERY):
                self._write(_AUDIT, one)
            self._write(topic, value)
            if self._stopping.is_set():
                return

    def _write(self, topic: str, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, value)
            except BufferError:
                self._producer.poll(0.05)
            else:
                self.sent += 1
                break
        if self.sent % _LOOKS_EVERY == 0:
            wait.until(
                lambda: self._stopping.is_set() or self.sent - self._read() < _AHEAD, within=600
            )


def main() -> int:
    """Run for so many minutes; 1 when something did not hold."""
    asked = argparse.ArgumentParser(prog="chaos.soak", description=__doc__)
    asked.add_argument("--minutes", type=float, default=20.0)
    asked.add_argument("--folder", type=Path, default=Path(".masswatch/soak"))
    given = asked.parse_args()
    with Lane(given.folder.resolve()) as lane:
        return _soak(lane, given.minutes * 60)


def _soak(lane: Lane, seconds: float) -> int:
    apply(catalogue(Sources(), partitions=PARTITIONS), lane.client)
    worker = Worker(
        {
            "KAFKA__BOOTSTRAP_SERVERS": lane.addresses.bootstrap_servers,
            "REDIS__URL": lane.direct.redis_url,
        },
        lane.folder / "worker.log",
    )
    try:
        until(worker.is_ready, "worker ready", 60)
        flood = Flood(lane.client, lambda: _sample(worker, 0).fetched)
        flood.start()
        samples = list(_samples(worker, lane.client, seconds))
        flood.stop()
        faults = list(_judged(samples, flood.sent))
        at_rest = wait.until(
            lambda: not _sample(worker, 0).lag and not [*conserved(worker.metrics())], within=120
        )
        if not at_rest:
            faults += ["not all was read and handled", *conserved(worker.metrics())]
        if (code := worker.stop()) != 0:
            faults.append(f"worker ended with {code}")
    finally:
        if worker.exit_code is None:
            worker.stop()
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


def _samples(worker: Worker, client: Mapping[str, str], seconds: float) -> Iterator[Sample]:
    began, admin = time.monotonic(), AdminClient(dict(client))
    while (at := time.monotonic() - began) < seconds:
        sample = _sample(worker, at)
        if round(at / SAMPLE_EVERY) % 12 == 0:
            print(
                f"{at:6.0f} s: {sample.memory:7.1f} MB, {sample.fetched:12,.0f} values, "
                f"lag {sample.lag:9,.0f}",
                flush=True,
            )
            _make_room(admin)
        yield sample
        time.sleep(max(0.0, began + at + SAMPLE_EVERY - time.monotonic()))


def _sample(worker: Worker, at: float) -> Sample:
    metrics = worker.metrics()
    status = Path(f"/proc/{worker.pid}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    return Sample(
        at,
        resident,
        sum(
            value
            for name, value in metrics.items()
            if name.startswith("masswatch_values_fetched_total{") and EVALUATIONS not in name
        ),
        _sum_of(metrics, "masswatch_lag"),
    )


def _sum_of(metrics: Mapping[str, float], name: str) -> float:
    return sum(value for key, value in metrics.items() if key.startswith(name + "{"))


def _judged(samples: Sequence[Sample], sent: int) -> Iterator[str]:
    steady = samples[int(len(samples) * WARM_UP) :]
    minutes = [one.at / 60 for one in steady]
    memory, _ = linear_regression(minutes, [one.memory for one in steady])
    span = steady[-1].at - steady[0].at
    pace = (steady[-1].fetched - steady[0].fetched) / span
    behind = [one.lag / pace for one in steady]
    growing, _ = linear_regression(minutes, behind)
    print(
        f"{samples[-1].at / 60:.1f} minutes, {sent:,} values sent, {pace:,.0f} values/s read; "
        f"memory {steady[0].memory:.1f} to {steady[-1].memory:.1f} MB, {memory:+.2f} MB/min; "
        f"at most {max(behind):.2f} s behind, {growing:+.3f} s/min"
    )
    if memory >= MEGABYTES_A_MINUTE:
        yield f"memory grows by {memory:.2f} MB a minute"
    if behind[-1] > SECONDS_BEHIND:
        yield f"{behind[-1]:.1f} s behind at the end"


def _make_room(admin: AdminClient) -> None:
    """Delete all but the last part of what is on the audit topic: disks are small."""
    for partition in range(PARTITIONS):
        place = TopicPartition(_AUDIT, partition)
        asked = [ConsumerGroupTopicPartitions("masswatch.audit", [place])]
        [committed] = admin.list_consumer_group_offsets(asked).values()
        offset = committed.result().topic_partitions[0].offset
        if offset > 0:
            place.offset = offset
            for done in admin.delete_records([place]).values():
                done.result()


def _days() -> Iterator[tuple[str, bytes]]:
    seed = 0
    while True:
        seed += 1
        for one in generate(Plan(seed=seed, tenants=12, audit_events=400)):
            yield TOPICS[one.kind], one.value


def _sieved() -> list[bytes]:
    sieve = Sieve()
    day = generate(Plan(seed=0, tenants=4, audit_events=2000, many_lines=False))
    values = (one.value for one in day if TOPICS[one.kind] == _AUDIT)
    found = list(islice((one for one in values if not sieve.admits(one)), _LOOP))
    if len(found) < _LOOP:
        raise AssertionError(f"{len(found)} sieved values among the simulated ones")
    return found


if __name__ == "__main__":
    sys.exit(main())
