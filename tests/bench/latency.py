"""Latency: from just before an assignment is appended to its alert being readable, committed."""

import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition

from pipeline.core.errors import MasswatchError
from pipeline.core.event_time import parse_event_time
from pipeline.demo.fleet import Worker, until
from pipeline.localstack import Addresses
from pipeline.wiring import clock
from topics.catalogue import ALERTS, EVALUATIONS

from . import topic
from .crew import crew
from .measure import cpu_of
from .records import mass_assignment

RATE: Final = 1000
EVERY: Final = 0.05
WARM_UP: Final = 30
STEPS: Final = (
    "appended to the source topic",
    "evaluation request appended",
    "verdict made",
    "alert appended",
    "alert readable, committed",
)

_PRODUCER: Final = {"acks": "all", "linger.ms": "0", "log_level": "0"}
_AUDIT: Final = "bench.audit.latency"
_SEEN_WITHIN: Final = 30.0


@dataclass(slots=True)
class Course:
    """When one assignment reached each step, in seconds of the wall clock."""

    sent: float
    steps: dict[str, float] = field(default_factory=dict)

    def after(self, step: str) -> float:
        """Return the milliseconds from just before the sending to a step."""
        return (self.steps[step] - self.sent) * 1000


@dataclass(frozen=True, slots=True)
class Measured:
    """The courses in the order they were sent, and the load beside them."""

    courses: tuple[Course, ...]
    background_rate: float
    worker_share: float


def measure(addresses: Addresses, logs: Path, alerts: int) -> Measured:
    """Send an assignment every 50 ms beside 1,000 events a second, and follow each."""
    client = addresses.client
    topic.create(client, _AUDIT)
    try:
        with (
            crew(addresses, logs, _AUDIT) as whole,
            background(client, _AUDIT),
            Followed(client, _AUDIT) as followed,
        ):
            [worker] = whole.workers
            followed.send(WARM_UP)
            followed.wait()
            followed.courses.clear()
            fetched, cpu, began = _fetched(worker), cpu_of(worker.pid), time.perf_counter()
            followed.send(alerts)
            followed.wait()
            seconds = time.perf_counter() - began
            return Measured(
                followed.complete(),
                (_fetched(worker) - fetched) / seconds,
                (cpu_of(worker.pid) - cpu) / seconds,
            )
    finally:
        topic.delete(client, _AUDIT)


class Followed:
    """Sends assignments to a topic, and notes when the alert of each can be read."""

    def __init__(self, client: Mapping[str, str], audit: str) -> None:
        self.courses: dict[str, Course] = {}
        self._client = client
        self._audit = audit
        self._producer = Producer({**client, **_PRODUCER})
        self._alerts = _consumer(client, ALERTS)
        self._reading = threading.Thread(target=self._read, name="alerts", daemon=True)
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        self._reading.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._reading.join()
        self._alerts.close()

    def send(self, count: int) -> None:
        """Send so many assignments at the pace."""
        due = time.monotonic()
        for _ in range(count):
            self._send()
            due += EVERY
            time.sleep(max(0.0, due - time.monotonic()))

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send assignments at the pace as long as the context lasts."""
        stopping = threading.Event()

        def go_on() -> None:
            while not stopping.is_set():
                self.send(1)

        thread = threading.Thread(target=go_on, name="assignments")
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def wait(self) -> None:
        """Wait until the alert of everything that was sent has been read."""
        until(self._is_done, "every alert read", _SEEN_WITHIN)

    def complete(self) -> tuple[Course, ...]:
        """Add what the evaluations topic says, and return the courses."""
        consumer = _consumer(self._client, EVALUATIONS)
        missing = set(self.courses)
        while missing:
            message = consumer.poll(_SEEN_WITHIN)
            if message is None:
                raise MasswatchError(f"{EVALUATIONS}: {len(missing)} requests not found")
            asked = _document(message)["audit_event_id"]
            if asked in missing:
                missing.discard(asked)
                self.courses[asked].steps[STEPS[1]] = message.timestamp()[1] / 1000
        consumer.close()
        return tuple(self.courses.values())

    def _send(self) -> None:
        audit_event_id = str(uuid.uuid4())
        value = mass_assignment(audit_event_id, clock())
        course = self.courses[audit_event_id] = Course(time.time())

        def on_delivery(_: object, message: Message) -> None:
            course.steps[STEPS[0]] = message.timestamp()[1] / 1000

        self._producer.produce(self._audit, value, on_delivery=on_delivery)
        self._producer.flush(_SEEN_WITHIN)

    def _is_done(self) -> bool:
        return all(STEPS[4] in course.steps for course in self.courses.values())

    def _read(self) -> None:
        while not self._closed.is_set():
            message = self._alerts.poll(0.1)
            now = time.time()
            if message is None:
                continue
            alert = _document(message)
            course = self.courses.get(alert["audit_event_id"])
            if course is not None and STEPS[4] not in course.steps:
                detected_at = parse_event_time(alert["detected_at"]) or 0
                course.steps[STEPS[2]] = detected_at / 1e7
                course.steps[STEPS[3]] = message.timestamp()[1] / 1000
                course.steps[STEPS[4]] = now


@contextmanager
def background(client: Mapping[str, str], audit: str, rate: int = RATE) -> Iterator[None]:
    """Send so many ordinary audit events a second, as long as the context lasts."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.bench.peer_background"),
            *(client["bootstrap.servers"], audit, str(rate)),
        ]
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _consumer(client: Mapping[str, str], name: str) -> Consumer:
    """Return a consumer of committed records, of all of a topic from its beginning."""
    consumer = Consumer(
        {
            **client,
            "group.id": "bench.latency.reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
    consumer.assign([TopicPartition(name, one, OFFSET_BEGINNING) for one in partitions])
    return consumer


def _document(message: Message) -> dict[str, Any]:
    if message.error() is not None:
        raise MasswatchError(f"latency: {message.error()}")
    document: dict[str, Any] = json.loads(message.value() or b"{}")
    return document


def _fetched(worker: Worker) -> float:
    of_audit = f'topic="{_AUDIT}"'
    return sum(
        value
        for name, value in worker.metrics().items()
        if name.startswith("masswatch_values_fetched_total") and of_audit in name
    )
