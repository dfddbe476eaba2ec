import asyncio
from dataclasses import dataclass
from datetime import timedelta

from pipeline.adapters.kafka_sinks import request_key, request_value
from pipeline.adapters.memory_alerts import (
    MemoryAlerts,
    MemoryAlertsTopic,
    MemoryDeadLetters,
    MemoryRequests,
)
from pipeline.adapters.memory_facts import MemoryFacts
from pipeline.adapters.metrics import Metrics
from pipeline.core.event_time import EventTime
from pipeline.core.model import Actor, Assignment, Position, Seen
from pipeline.core.policy import Policy
from pipeline.ports import Candidate
from pipeline.reader.batch import Partition, RecordBatch
from pipeline.sources.decode import Decoder
from pipeline.stages.evaluate import Evaluate
from pipeline.stages.observe import Observe
from pipeline.worker.agents import evaluating, observing
from pipeline.worker.delays import Delays
from pipeline.worker.ownership import AlertLogs

TOPIC = "masswatch.evaluations.v1"
NOON = EventTime(17_700_000_000_000_0000)
WAITED_MS = 400
ASSIGNMENT = Assignment(
    tenant_id="5f0c6c0a-0d3c-4c1e-9a57-1d6f5d3f0a11",
    audit_event_id="event-1",
    event_time=NOON,
    operation="Create MobileAppAssignment",
    identity="admin@example.org",
    correlation_id="",
    target_types=("AllDevicesAssignmentTarget",),
    split_signals=False,
    actor=Actor(is_delegated_admin=True),
)


@dataclass
class Ours:
    async def ready(self) -> bool:
        return True

    def done(self) -> None:
        raise AssertionError("acknowledging is not the stage's")

    def drop(self) -> None:
        raise AssertionError("dropping is not the stage's")


@dataclass
class Outcome:
    is_to_be_acknowledged: bool
    alerts: int
    dead_letters: list[bytes | None]
    metrics: str


def a_request() -> bytes:
    return request_value(ASSIGNMENT.id)


def evaluate(*values: bytes, owns: bool = True) -> Outcome:
    topic, letters, metrics = MemoryAlertsTopic(), MemoryDeadLetters(), Metrics("test")
    windows = Policy().windows

    async def run() -> bool:
        facts = MemoryFacts(windows)
        await facts.add([Seen(ASSIGNMENT, Position("intune.audit.v1", 0, 1))])

        async def open_log(partition: int) -> MemoryAlerts:
            return topic.open(partition)

        logs = AlertLogs(open_log)
        if owns:
            await logs.take_over(frozenset({Partition(TOPIC, 2)}))
        stage = evaluating(
            Evaluate(facts=facts, policy=Policy(), clock=lambda: NOON, counts=metrics),
            logs,
            letters,
            metrics,
            Delays("evaluate", timedelta(seconds=30), lambda: NOON, metrics),
        )
        candidates = tuple(
            Candidate(
                Position(TOPIC, 2, offset),
                value,
                request_key(ASSIGNMENT.id),
                timestamp_ms=NOON // 10_000 - WAITED_MS,
            )
            for offset, value in enumerate(values)
        )
        return await stage(RecordBatch(TOPIC, 2, 0, 9, 10, candidates, Ours()))

    acknowledged = asyncio.run(run())
    return Outcome(
        acknowledged,
        len(topic.records[2]),
        [one.candidate.value for one in letters.letters],
        metrics.text().decode(),
    )


def test_requests_are_evaluated_and_published_on_the_partition_of_the_batch() -> None:
    outcome = evaluate(a_request(), a_request())

    assert outcome.is_to_be_acknowledged
    assert outcome.alerts == 1


def test_what_is_no_request_is_a_dead_letter_and_its_neighbours_are_evaluated() -> None:
    outcome = evaluate(b"rubbish", a_request())

    assert outcome.is_to_be_acknowledged
    assert (outcome.alerts, outcome.dead_letters) == (1, [b"rubbish"])
    assert f'masswatch_records_dead_lettered_total{{topic="{TOPIC}"}} 1.0' in outcome.metrics


def test_a_batch_of_a_partition_without_a_log_is_dropped() -> None:
    outcome = evaluate(a_request(), owns=False)

    assert not outcome.is_to_be_acknowledged
    assert (outcome.alerts, outcome.dead_letters) == (0, [])


def test_how_long_a_request_waited_is_told_when_its_verdict_is_published() -> None:
    outcome = evaluate(a_request())

    assert 'masswatch_delay_seconds_sum{step="evaluate"} 0.4' in outcome.metrics.splitlines()


def test_a_batch_that_is_not_ours_tells_of_no_delay() -> None:
    outcome = evaluate(a_request(), owns=False)

    assert "masswatch_delay_seconds_sum" not in outcome.metrics


def test_how_long_a_record_waited_is_told_when_its_facts_are_kept() -> None:
    metrics, windows = Metrics("test"), Policy().windows
    stage = observing(
        Observe(
            facts=MemoryFacts(windows),
            requests=MemoryRequests(),
            letters=MemoryDeadLetters(),
            decode=Decoder(),
            windows=windows,
            counts=metrics,
        ),
        Delays("observe", timedelta(seconds=30), lambda: NOON, metrics),
    )
    appended_ms = NOON // 10_000 - WAITED_MS
    candidate = Candidate(Position("intune.audit.v1", 2, 0), b"{}", timestamp_ms=appended_ms)

    async def run() -> bool:
        return await stage(RecordBatch("intune.audit.v1", 2, 0, 9, 10, (candidate,), Ours()))

    asyncio.run(run())

    assert 'masswatch_delay_seconds_sum{step="observe"} 0.4' in metrics.text().decode()
