"""What a worker, Kafka and Redis have used up at a moment, and between two moments."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

from redis import Redis

from pipeline.localstack import Stack
from topics.catalogue import ALERTS, EVALUATIONS

from .crew import Crew
from .measure import cpu_of, memory_of


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of time and of CPU, and bytes.

    Attributes:
        seconds: The clock's.
        worker_cpu: Of the workers.
        kafka_cpu: Of the broker.
        redis_cpu: Of the Redis server.
        worker_bytes: Resident in the workers.
        redis_bytes: What Redis has allocated.
        source_bytes: On the disk, of the source topics.
        evaluations_bytes: Of the evaluations topic.
        alerts_bytes: Of the alerts topic.
    """

    seconds: float
    worker_cpu: float
    kafka_cpu: float
    redis_cpu: float
    worker_bytes: float
    redis_bytes: float
    source_bytes: float
    evaluations_bytes: float
    alerts_bytes: float

    def __sub__(self, earlier: Self) -> Self:
        names = [field.name for field in fields(self)]
        return type(self)(*(getattr(self, name) - getattr(earlier, name) for name in names))


@dataclass(frozen=True, slots=True)
class Meters:
    """Reads what is used; `sources` are the topics whose bytes count as the sources'."""

    stack: Stack
    crew: Crew
    sources: tuple[str, ...]

    def read(self) -> Used:
        """Return what is used up so far."""
        with Redis.from_url(self.stack.redis_url) as client:
            redis_bytes = client.info("memory")["used_memory"]
        pids = [worker.pid for worker in self.crew.workers]
        return Used(
            time.monotonic(),
            self.crew.cpu(),
            cpu_of(self.stack.kafka.pid),
            cpu_of(self.stack.redis.pid),
            sum(memory_of(pid)[0] for pid in pids) * 1024 * 1024,
            redis_bytes,
            self._bytes_of(self.sources),
            self._bytes_of([EVALUATIONS]),
            self._bytes_of([ALERTS]),
        )

    def _bytes_of(self, topics: Iterable[str]) -> float:
        data = self.stack.folder / "kafka" / "data"
        return sum(
            segment.stat().st_size for topic in topics for segment in data.glob(f"{topic}-*/*.log")
        )
