import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from pipeline.adapters.metrics import Metrics
from pipeline.core.errors import BrokerUnavailable, LostOwnership, StoreUnavailable
from pipeline.reader.batch import RecordBatch
from pipeline.worker.holding import Holding, Stage


@dataclass
class AClaim:
    """A claim whose loss a test decides; it says what became of its batch."""

    is_ours: bool = True
    is_done: bool = False
    is_dropped: bool = False

    async def ready(self) -> bool:
        return self.is_ours

    def done(self) -> None:
        self.is_done = True

    def drop(self) -> None:
        self.is_dropped = True


@dataclass
class AStage:
    """Raises or returns what it is told, call by call; then true."""

    outcomes: list[Exception | bool] = field(default_factory=list)
    calls: int = 0
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _: RecordBatch) -> bool:
        self.calls += 1
        self.called.set()
        outcome = self.outcomes.pop(0) if self.outcomes else True
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@dataclass
class Handled:
    claim: AClaim
    in_doubt: bool
    crashes: list[BaseException]
    metrics: str


def handle(
    stage: Stage,
    claim: AClaim,
    meanwhile: Callable[[Holding], Awaitable[None]] | None = None,
) -> Handled:
    crashes: list[BaseException] = []
    metrics = Metrics("test")

    async def crash(reason: BaseException) -> None:
        crashes.append(reason)

    async def run() -> Handled:
        in_doubt = asyncio.Event()
        holding = Holding("audit", stage, in_doubt=in_doubt, crash=crash, metrics=metrics)
        batch = RecordBatch("intune.audit.v1", 3, 10, 19, 10, (), claim)
        handling = asyncio.create_task(holding(batch))
        if meanwhile is not None:
            await meanwhile(holding)
        await asyncio.wait_for(asyncio.wait({handling}), 10)
        if not crashes:
            handling.result()
        elif handling.exception() is not crashes[0]:
            raise AssertionError("what crashes the worker has to leave the agent")
        return Handled(claim, in_doubt.is_set(), crashes, metrics.text().decode())

    return asyncio.run(run())


@pytest.mark.parametrize("away", [StoreUnavailable("redis"), BrokerUnavailable("kafka")])
def test_a_batch_is_held_while_something_is_away_and_then_acknowledged(away: Exception) -> None:
    stage = AStage([away, away])

    handled = handle(stage, AClaim())

    assert stage.calls == 3
    assert handled.claim.is_done
    assert 'masswatch_batches_total{agent="audit",end="acknowledged"} 1.0' in handled.metrics
    assert 'masswatch_waiting{agent="audit"} 0.0' in handled.metrics


def test_a_stale_batch_is_not_acknowledged() -> None:
    handled = handle(AStage([False]), AClaim())

    assert not handled.claim.is_done
    assert handled.claim.is_dropped
    assert 'end="stale"} 1.0' in handled.metrics


def test_a_batch_that_was_lost_before_its_turn_does_not_reach_the_stage() -> None:
    stage = AStage()

    handled = handle(stage, AClaim(is_ours=False))

    assert (stage.calls, handled.claim.is_done) == (0, False)
    assert handled.claim.is_dropped


def test_a_held_batch_that_is_lost_meanwhile_is_dropped() -> None:
    stage, claim = AStage([StoreUnavailable("redis")] * 100), AClaim()

    async def lose(holding: Holding) -> None:
        await stage.called.wait()
        assert holding.held_for >= 0
        claim.is_ours = False

    handled = handle(stage, claim, lose)

    assert (stage.calls, handled.claim.is_done) == (1, False)
    assert handled.claim.is_dropped


def test_a_held_batch_is_dropped_when_the_worker_stops() -> None:
    stage = AStage([StoreUnavailable("redis")] * 1000)

    async def stop(holding: Holding) -> None:
        await stage.called.wait()
        assert holding.held_within(0)
        holding.stop()

    handled = handle(stage, AClaim(), stop)

    assert not handled.claim.is_done
    assert handled.claim.is_dropped
    assert 'end="dropped"} 1.0' in handled.metrics


def test_lost_ownership_puts_the_membership_in_doubt_and_acknowledges_nothing() -> None:
    handled = handle(AStage([LostOwnership("fenced")]), AClaim())

    assert handled.in_doubt
    assert handled.claim.is_dropped
    assert not handled.claim.is_done
    assert handled.crashes == []


def test_anything_unforeseen_crashes_the_worker_and_acknowledges_nothing() -> None:
    bug = ZeroDivisionError("a bug")

    handled = handle(AStage([bug]), AClaim())

    assert handled.crashes == [bug]
    assert not handled.claim.is_done


def test_a_wait_for_the_store_is_logged_when_it_begins_and_when_it_ends() -> None:
    with capture_logs() as logs:
        handle(AStage([StoreUnavailable("redis: away")] * 2), AClaim())

    begun, ended = logs
    assert (begun["event"], begun["error"]) == ("store.unavailable", "redis: away")
    assert (ended["event"], ended["batch"]) == ("batch.resumed", begun["batch"])
    assert ended["seconds"] >= 0.05


def test_a_wait_that_ends_with_the_worker_is_logged_too() -> None:
    stage = AStage([StoreUnavailable("redis: away")] * 1000)

    async def stop(holding: Holding) -> None:
        await stage.called.wait()
        holding.stop()

    with capture_logs() as logs:
        handle(stage, AClaim(), stop)

    assert [one["event"] for one in logs] == ["store.unavailable", "batch.dropped"]


def test_a_batch_that_never_waited_is_not_worth_a_line() -> None:
    with capture_logs() as logs:
        handle(AStage(), AClaim())
        handle(AStage([False]), AClaim())

    assert logs == []
