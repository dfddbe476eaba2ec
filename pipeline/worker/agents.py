"""What each agent hands its batches to."""

from pipeline.adapters.kafka_sinks import read_request
from pipeline.adapters.metrics import Metrics
from pipeline.core.model import AssignmentId
from pipeline.ports import DeadLetter, DeadLetterSink
from pipeline.reader.batch import RecordBatch
from pipeline.stages.evaluate import Evaluate
from pipeline.stages.observe import Observe
from pipeline.worker.delays import Delays
from pipeline.worker.holding import Stage
from pipeline.worker.ownership import AlertLogs


def observing(observe: Observe, delays: Delays) -> Stage:
    """Return what the source agents hand their batches to."""

    async def stage(batch: RecordBatch) -> bool:
        if not await observe(batch.candidates, batch.ready):
            return False
        delays.ended(batch.candidates)
        return True

    return stage


def evaluating(
    evaluate: Evaluate,
    logs: AlertLogs,
    letters: DeadLetterSink,
    metrics: Metrics,
    delays: Delays,
) -> Stage:
    """Return what the agent of the evaluations topic hands its batches to."""

    async def stage(batch: RecordBatch) -> bool:
        log = logs.of(batch.partition)
        if log is None:
            return False
        asked: list[AssignmentId] = []
        unreadable: list[DeadLetter] = []
        for candidate in batch.candidates:
            request = read_request(candidate)
            if request is None:
                unreadable.append(DeadLetter(candidate, "not an evaluation request", None))
            else:
                asked.append(request)
        if unreadable:
            if not await batch.ready():
                return False
            await letters.send(unreadable)
        if not await evaluate(asked, log, batch.ready):
            return False
        for _ in asked:
            metrics.handled(batch.topic, "request")
        for letter in unreadable:
            metrics.dead_lettered(letter.candidate.position.topic)
        delays.ended(batch.candidates)
        return True

    return stage
