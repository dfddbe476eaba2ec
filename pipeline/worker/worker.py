"""One worker: its agents and readers, started, watched and stopped together."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

import structlog

from pipeline.adapters.kafka_metadata import partition_counts
from pipeline.adapters.metrics import Wait
from pipeline.adapters.redis_placement import Placement
from pipeline.adapters.redis_reaches import RedisReaches
from pipeline.config import Settings
from pipeline.core.errors import StoreRefuses, StoreUnavailable
from pipeline.core.event_time import TICKS_PER_SECOND
from pipeline.ports import Sieve
from pipeline.reader.batch import Partition
from pipeline.reader.lease import boot_clock
from pipeline.reader.membership import Hook, nothing
from pipeline.reader.reader import Reader
from pipeline.reader.settings import ReaderSettings
from pipeline.wiring import Parts, clock
from pipeline.worker.agents import evaluating, observing
from pipeline.worker.app import add_agent, make_app
from pipeline.worker.asking import Asking
from pipeline.worker.delays import Delays
from pipeline.worker.holding import Holding, Stage, pauses
from pipeline.worker.http import Answers, Http
from pipeline.worker.ownership import AlertLogs
from pipeline.worker.reading import Reading
from pipeline.worker.reloading import Reloading
from pipeline.worker.restoring import Restoring
from pipeline.worker.source_watch import SourceWatch
from pipeline.worker.watchdog import LoopWatch, Watchdog, end_hard
from topics.catalogue import EVALUATIONS

STORE_WITHIN: Final = timedelta(seconds=15)
"""How long the store is waited for at a start."""

_PROBE_WITHIN: Final = 2.0
_HELD_AT_MOST: Final = 5.0
_COUNTED_WITHIN: Final = timedelta(seconds=3)
_FETCH_ANSWERED_WITHIN: Final = timedelta(seconds=1)
"""An idle fetch is answered after half a second, by aiokafka's default."""
_TELLS_RESTS_EVERY: Final = 1.0
_REBUILDERS_PARTITION: Final = 0
"""Its owner among the evaluations has the store rebuilt: there is one at any time."""

_log = structlog.get_logger()


class Worker:
    """All agents of one process; `run` it in the loop that it was made in."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._parts = parts
        self._limit = settings.worker.stuck_after
        self._app = make_app(parts.application)
        self._logs = AlertLogs(parts.take_over)
        self._asking = Asking(parts.facts, parts.requests, parts.partition_of)
        self._restoring = Restoring(
            parts.placement.look,
            lambda: self._logs.of(_REBUILDERS_PARTITION) is not None,
            parts.metrics,
            policy=lambda: parts.policy.written,
            # What was judged by the facts of another server meanwhile is judged again.
            rebuilt=lambda: self._ask_again(everywhere=False),
        )
        self._reloading = Reloading(
            settings.policy_file, parts, ask=self._ask_again, metrics=parts.metrics
        )
        self._agents: list[_Agent] = []
        self._delays: list[Delays] = []
        self._loop_watch = LoopWatch(self._limit, end_hard)
        self._watchdog = Watchdog(lambda: self._agents, self._limit, beat=self._loop_watch.beat)
        answers = Answers(self._live, self._ready, parts.metrics.text)
        self._http = Http(settings.http.host, settings.http.port, answers)
        for source in parts.sources:
            self._add(
                source.agent,
                source.topics,
                source.settings,
                observing(parts.observe, self._measuring("observe", settings)),
                sieve=source.sieve,
            )
        self._add(
            "evaluations",
            (EVALUATIONS,),
            parts.evaluations,
            evaluating(
                parts.evaluate,
                self._logs,
                parts.letters,
                parts.metrics,
                self._measuring("evaluate", settings),
            ),
            on_assigned=self._take_over,
            on_revoked=self._logs.give_up,
        )
        parts.metrics.watch(
            lambda: (one for agent in self._agents for one in agent.reading.values()),
            lambda: (agent.reading.membership() for agent in self._agents),
            lambda: (Wait(one.reading.agent, one.holding.held_for) for one in self._agents),
        )
        self._sources = self._source_watch(settings)
        parts.evaluate.watch(lambda: self._sources.reaches)

    async def run(self, stopping: asyncio.Event, hung_up: asyncio.Event) -> None:
        """Work until told to stop, then stop orderly; reload the policy when it is hung up.

        Raises:
            ConfigError: the HTTP port is taken, or a topic does not exist.
            BrokerUnavailable: no broker answers at the start.
            StoreUnavailable: the store does not answer at the start.
            Stuck: something stood still.
        """
        try:
            await _wait_for(self._parts.placement)
            await self._app.start()
            await self._app.add_runtime_dependency(self._http)
            await asyncio.gather(
                *(self._app.add_runtime_dependency(agent.reading) for agent in self._agents)
            )
            await self._app.add_runtime_dependency(self._watchdog)
            self._app.add_future(self._asking.run())
            self._app.add_future(self._reloading.run(hung_up))
            self._app.add_future(self._restoring.run())
            self._app.add_future(self._sources.run())
            self._app.add_future(self._tell_rests())
            self._app.add_future(self._warn_of_surplus())
            _log.info("worker.started", policy=self._parts.policy.digest)
            await _first(stopping.wait(), self._app.wait_until_stopped())
        finally:
            await self._stop()
        if self._app.crash_reason is not None:
            raise self._app.crash_reason
        _log.info("worker.stopped")

    async def _take_over(self, partitions: frozenset[Partition]) -> None:
        await self._logs.take_over(partitions)
        self._asking.taken_over(partitions)

    def _ask_again(self, *, everywhere: bool) -> None:
        if everywhere:
            self._asking.everything()
            return
        for agent in self._agents:
            self._asking.taken_over(
                one for one in agent.reading.partitions if one.topic == EVALUATIONS
            )

    async def _stop(self) -> None:
        """Let the readers commit and leave all at once: each may take its time to the full."""
        self._loop_watch.close()
        for agent in self._agents:
            agent.holding.stop()
        await asyncio.gather(
            self._restoring.stop(), *(agent.reading.end() for agent in self._agents)
        )
        await self._app.stop()
        await self._parts.close()

    def _add(
        self,
        name: str,
        topics: Sequence[str],
        settings: ReaderSettings,
        stage: Stage,
        *,
        sieve: Sieve | None = None,
        on_assigned: Hook = nothing,
        on_revoked: Hook = nothing,
    ) -> None:
        in_doubt = asyncio.Event()
        holding = Holding(
            name,
            stage,
            in_doubt=in_doubt,
            crash=self._app.crash,
            metrics=self._parts.metrics,
        )
        deliver = add_agent(self._app, name, holding)
        reading = Reading(
            name,
            lambda counts: Reader(
                settings,
                topics,
                deliver,
                sieve=sieve,
                on_assigned=on_assigned,
                on_revoked=on_revoked,
                counts=counts,
            ),
            in_doubt=in_doubt,
        )
        self._agents.append(_Agent(holding, reading))

    def _measuring(self, step: str, settings: Settings) -> Delays:
        delays = Delays(step, settings.worker.delayed_after, clock, self._parts.metrics)
        self._delays.append(delays)
        return delays

    def _source_watch(self, settings: Settings) -> SourceWatch:
        placement, worker = self._parts.placement, settings.worker
        return SourceWatch(
            asdict(settings.kafka.sources),
            sightings=lambda: (one for agent in self._agents for one in agent.reading.sightings()),
            partitions=lambda: partition_counts(self._parts.client, within=_COUNTED_WITHIN),
            exchange=RedisReaches(placement.client, placement.marks.base).exchange,
            clock=lambda: round(boot_clock() * TICKS_PER_SECOND),
            quiet_after=worker.quiet_after,
            margin=worker.commit_interval + _FETCH_ANSWERED_WITHIN,
            metrics=self._parts.metrics,
        )

    async def _live(self) -> list[str]:
        return list(self._watchdog.found)

    async def _ready(self) -> list[str]:
        faults = [
            f"{agent.reading.agent}: no partitions"
            for agent in self._agents
            if not agent.reading.partitions
        ]
        faults += [
            f"{agent.reading.agent}: a batch is held for {held:.0f} s: see the log for why"
            for agent in self._agents
            if (held := agent.holding.held_for) > _HELD_AT_MOST
        ]
        try:
            async with asyncio.timeout(_PROBE_WITHIN):
                standing = await self._parts.placement.look()
            if standing.fault is not None:
                faults.append(f"store: facts are not complete: {standing.fault}")
        except StoreUnavailable as error:
            faults.append(str(error))
        except TimeoutError:
            faults.append("store: no answer in time")
        return faults

    async def _tell_rests(self) -> None:
        while True:
            await asyncio.sleep(_TELLS_RESTS_EVERY)
            self._parts.observe.tell_rest()
            for delays in self._delays:
                delays.tell_rest()

    async def _warn_of_surplus(self) -> None:
        await asyncio.sleep(self._limit.total_seconds())
        idle = [agent.reading.agent for agent in self._agents if not agent.reading.partitions]
        if idle:
            _log.warning(
                "partitions.none_assigned",
                agents=idle,
                advice="run no more workers than there are partitions",
            )


class _Agent:
    """One agent's holding and reading, and whether it makes progress."""

    def __init__(self, holding: Holding, reading: Reading) -> None:
        self.holding = holding
        self.reading = reading

    def stuck(self, limit: timedelta) -> Sequence[str]:
        """Say what stands still; waiting for the store is no standing still."""
        if self.holding.held_within(limit.total_seconds()):
            return []
        return [f"{self.reading.agent}: {fault}" for fault in self.reading.reader.stuck(limit)]


async def _wait_for(placement: Placement) -> None:
    within = STORE_WITHIN.total_seconds()
    deadline = asyncio.get_running_loop().time() + within
    for pause in pauses():
        try:
            await placement.look()
        except StoreUnavailable as error:
            is_over = asyncio.get_running_loop().time() > deadline
            if is_over or isinstance(error, StoreRefuses):
                raise
            _log.warning("store.unavailable", error=str(error))
            await asyncio.sleep(pause)
        else:
            return


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
