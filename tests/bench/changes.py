"""Latency while a second worker joins the first one, and while it leaves again."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.demo.fleet import Worker, until
from pipeline.localstack import Addresses

from . import topic
from .crew import READY_WITHIN, crew, settings_of
from .latency import WARM_UP, Course, Followed, background

_AUDIT: Final = "bench.audit.changes"
_SETTLES: Final = 2.0
"""Seconds after each change that are counted as part of it."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The courses of what was sent while workers joined, and while they left."""

    joins: tuple[Course, ...]
    leaves: tuple[Course, ...]


@dataclass(frozen=True, slots=True)
class _Span:
    """From when to when, in seconds of the wall clock."""

    began: float
    ended: float


def measure(addresses: Addresses, logs: Path, cycles: int) -> Changed:
    """Send an assignment every 50 ms, while a worker comes and goes so many times.

    A join counts from the start of the process until two seconds after it is ready, a leave from
    SIGTERM until two seconds after its end.
    """
    client = addresses.client
    topic.create(client, _AUDIT)
    try:
        with (
            crew(addresses, logs, _AUDIT),
            background(client, _AUDIT),
            Followed(client, _AUDIT) as followed,
        ):
            followed.send(WARM_UP)
            followed.wait()
            followed.courses.clear()
            joins, leaves = [], []
            with followed.sending():
                for number in range(cycles):
                    log = logs / f"{_AUDIT}.second.{number}.log"
                    joined, left = _come_and_go(settings_of(addresses, _AUDIT), log)
                    joins.append(joined)
                    leaves.append(left)
            followed.wait()
            courses = tuple(followed.courses.values())
            return Changed(tuple(_sent_in(joins, courses)), tuple(_sent_in(leaves, courses)))
    finally:
        topic.delete(client, _AUDIT)


def _come_and_go(settings: dict[str, str], log: Path) -> tuple[_Span, _Span]:
    time_to_settle = threading.Event()
    began = time.time()
    worker = Worker(settings, log)
    try:
        until(worker.is_ready, "second worker ready", READY_WITHIN)
        time_to_settle.wait(_SETTLES)
        joined = _Span(began, time.time())
    finally:
        began = time.time()
        worker.stop()
    time_to_settle.wait(_SETTLES)
    return joined, _Span(began, time.time())


def _sent_in(spans: Sequence[_Span], courses: Sequence[Course]) -> Iterator[Course]:
    for course in courses:
        if any(span.began <= course.sent < span.ended for span in spans):
            yield course
