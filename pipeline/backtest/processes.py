"""Where shards are scanned and buckets judged: in this process, or in several beside it."""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from pipeline.backtest.judging import Judgement, Question, judge_bucket
from pipeline.backtest.scan import Counted, Reading, Scanner
from pipeline.backtest.spill import Spill
from pipeline.core.errors import MasswatchError
from pipeline.slices.progress import Progress, Watch
from pipeline.slices.shard import Shard

_POLL_SECONDS: Final = 0.2

Result = TypeVar("Result")


class Stopped(MasswatchError):
    """Somebody asked for an end before the end."""


@dataclass(frozen=True, slots=True)
class Work:
    """What every process needs to know."""

    folder: Path
    readings: tuple[Reading, ...]
    tenants: frozenset[str]
    question: Question


class Processes(Protocol):
    """Does the work, here or elsewhere."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def scan(self, shards: Sequence[Shard], watch: Watch) -> Iterator[Counted]:
        """Yield what was counted in each shard, in any order.

        Raises:
            ConfigError: a file cannot be read.
            BrokerUnavailable: the broker does not answer.
        """
        ...

    def judge(self, buckets: Iterable[int]) -> Iterator[Judgement]:
        """Yield what is said of each bucket, in any order."""
        ...


class Here:
    """Does the work in this process."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do nothing."""

    def scan(self, shards: Sequence[Shard], watch: Watch) -> Iterator[Counted]:
        """Yield what was counted in each shard. See `Processes`."""
        total, values, done = sum(one.units for one in shards), 0, 0

        def step(more: int, units: int) -> None:
            nonlocal values, done
            values, done = values + more, done + units
            watch(Progress(values, done, total))

        scanner = Scanner(self._work.readings, self._work.tenants)
        spill = Spill(self._work.folder, "here")
        for shard in shards:
            yield scanner.scan(shard, spill, step)
        spill.flush()

    def judge(self, buckets: Iterable[int]) -> Iterator[Judgement]:
        """Yield what is said of each bucket. See `Processes`."""
        for bucket in buckets:
            yield judge_bucket(self._work.folder, bucket, self._work.question)


class Beside:
    """Does the work in processes of its own; leaving ends them, also in the middle of a shard.

    Args:
        work: What they need to know.
        count: How many.
    """

    def __init__(self, work: Work, count: int) -> None:
        context = get_context("spawn")  # librdkafka does not survive a fork
        self._values, self._done = context.Value("q", 0), context.Value("q", 0)
        self._stop = context.Value("b", 0)
        self._pool = ProcessPoolExecutor(
            count, context, _begin, (_portable(work), self._values, self._done, self._stop)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the processes: those in the middle of something at their next step."""
        if error is not None:
            self._stop.value = 1
        self._pool.shutdown(wait=True, cancel_futures=True)

    def scan(self, shards: Sequence[Shard], watch: Watch) -> Iterator[Counted]:
        """Yield what was counted in each shard. See `Processes`."""
        total = sum(one.units for one in shards)
        largest_first = sorted(enumerate(shards), key=lambda one: -one[1].units)
        futures = [self._pool.submit(_scan, number, one) for number, one in largest_first]
        yield from self._results(
            futures,
            lambda: watch(Progress(self._values.value, self._done.value, total)),
        )

    def judge(self, buckets: Iterable[int]) -> Iterator[Judgement]:
        """Yield what is said of each bucket. See `Processes`."""
        futures = [self._pool.submit(_judge, bucket) for bucket in buckets]
        yield from self._results(futures, lambda: None)

    def _results(
        self, futures: "Iterable[Future[Result]]", now_and_then: Callable[[], None]
    ) -> Iterator[Result]:
        pending = set(futures)
        while pending:
            done, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
            now_and_then()
            for one in done:
                try:
                    yield one.result()
                except BrokenProcessPool as error:
                    raise MasswatchError(
                        "backtest: a process was killed, perhaps for want of memory: "
                        "lower --processes, or ask for fewer tenants or less time"
                    ) from error


def _portable(work: Work) -> Work:
    """Return the same work with policies that can be sent: a view of a dict cannot."""
    policies = tuple(
        replace(
            one,
            policy=replace(
                one.policy,
                tenants=dict(one.policy.tenants),
                workspaces=dict(one.policy.workspaces),
            ),
        )
        for one in work.question.policies
    )
    return replace(work, question=replace(work.question, policies=policies))


class _Child:
    """This process, when it is one of several."""

    def __init__(self, work: Work, values: Any, done: Any, stop: Any) -> None:
        self._work = work
        self._values, self._done, self._stop = values, done, stop
        self._scanner = Scanner(work.readings, work.tenants)

    def scan(self, number: int, shard: Shard) -> Counted:
        spill = Spill(self._work.folder, str(number))
        counted = self._scanner.scan(shard, spill, self._step)
        spill.flush()
        return counted

    def judge(self, bucket: int) -> Judgement:
        if self._stop.value:
            raise Stopped("stopped")
        return judge_bucket(self._work.folder, bucket, self._work.question)

    def _step(self, values: int, units: int) -> None:
        if self._stop.value:
            raise Stopped("stopped")
        with self._values.get_lock():
            self._values.value += values
        with self._done.get_lock():
            self._done.value += units


_children: list[_Child] = []
"""The one of this process, which its tasks find here: there is no other way into a pool."""


def _begin(work: Work, values: Any, done: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us, and cleans up
    _children.append(_Child(work, values, done, stop))


def _scan(number: int, shard: Shard) -> Counted:
    return _children[-1].scan(number, shard)


def _judge(bucket: int) -> Judgement:
    return _children[-1].judge(bucket)
