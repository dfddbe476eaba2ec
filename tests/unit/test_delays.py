from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from structlog.testing import capture_logs

from pipeline.adapters.metrics import Metrics
from pipeline.core.event_time import EventTime
from pipeline.core.model import Position
from pipeline.ports import Candidate
from pipeline.worker.delays import Delays

NOON = EventTime(17_700_000_000_000_0000)
NOON_MS = NOON // 10_000
LIMIT = timedelta(seconds=30)


def waited(seconds: float, offset: int = 7) -> Candidate:
    appended_ms = NOON_MS - round(seconds * 1000)
    return Candidate(Position("intune.audit.v1", 3, offset), b"", timestamp_ms=appended_ms)


def told(*batches: Sequence[Candidate]) -> tuple[list[Any], list[str]]:
    metrics = Metrics("test")
    delays = Delays("observe", LIMIT, lambda: NOON, metrics)
    with capture_logs() as logs:
        for batch in batches:
            delays.ended(batch)
    return list(logs), metrics.text().decode().splitlines()


def test_every_wait_is_measured_and_one_within_the_limit_is_not_worth_a_line() -> None:
    logs, metrics = told([waited(0.5), waited(30)])

    assert logs == []
    assert 'masswatch_delay_seconds_count{step="observe"} 2.0' in metrics
    assert 'masswatch_delay_seconds_sum{step="observe"} 30.5' in metrics


def test_a_wait_beyond_the_limit_is_logged_with_the_longest_of_the_batch() -> None:
    logs, _ = told([waited(31, 5), waited(60, 6), waited(32, 7), waited(1, 8)])

    assert logs == [
        {
            "event": "evaluation.delayed",
            "log_level": "warning",
            "step": "observe",
            "records": 3,
            "seconds": 60.0,
            "position": "intune.audit.v1[3]@6",
        }
    ]


def test_thousands_of_delayed_batches_are_one_line_in_a_while() -> None:
    logs, metrics = told(*[[waited(60)]] * 1000)

    assert len(logs) == 1
    assert 'masswatch_delay_seconds_count{step="observe"} 1000.0' in metrics


def test_a_record_from_a_clock_ahead_of_ours_did_not_wait() -> None:
    _, metrics = told([waited(-5)])

    assert 'masswatch_delay_seconds_sum{step="observe"} 0.0' in metrics


def test_a_record_without_a_time_is_not_measured() -> None:
    logs, metrics = told([Candidate(Position("t", 0, 1), b"", timestamp_ms=0)])

    assert logs == []
    assert not [line for line in metrics if line.startswith("masswatch_delay_seconds_count")]


def test_the_rest_of_a_burst_is_one_more_line_with_its_longest_wait() -> None:
    seconds = 0.0
    delays = Delays("observe", LIMIT, lambda: NOON, Metrics("test"), speaks=lambda: seconds)
    for offset, waits in enumerate((60, 99, 61)):
        delays.ended([waited(waits, offset)])

    seconds = 10.0
    with capture_logs() as logs:
        delays.tell_rest()

    assert [(one["records"], one["position"]) for one in logs] == [(2, "intune.audit.v1[3]@1")]
