"""The protocol of a lost store, stepped command by command in every order that Hypothesis finds.

Agents, an evaluator and rebuilds are the real ones, on a Redis in memory; between any two of their
commands the server may be flushed, restarted with an old state, or a rebuild may die.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

from builders import MONDAY, a_risk, an_assignment, shifted
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_redis import Server, SteppedRedis

from pipeline.adapters.kafka_slice import Range
from pipeline.adapters.memory_alerts import MemoryRequests
from pipeline.adapters.placed_facts import PlacedFacts
from pipeline.adapters.redis_marks import Superseded
from pipeline.adapters.redis_placement import Placement
from pipeline.core.errors import StoreUnavailable
from pipeline.core.model import Fact, Position, Seen
from pipeline.core.window import Windows
from pipeline.rebuild.history import Harvest
from pipeline.rebuild.rebuild import Rebuild

WINDOWS = Windows()
ASSIGNMENT = an_assignment()
RISKS = [a_risk(at=shifted(MONDAY, timedelta(hours=hour))) for hour in range(3)]
FACTS: list[Fact] = [RISKS[0], ASSIGNMENT, *RISKS[1:]]
STEPS_AT_MOST = 60
REBUILDS_AT_ONCE = 3
AGENTS = (0, 1)
BURSTS = (1, 1, 2, 3, 5, 8, 13, 34, 200)
SETTLES_WITHIN = 20_000


class Here(ThreadPoolExecutor):
    """Runs what is handed to a thread at once, so that a run depends on the drawn order alone."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Log:
    """The records appended so far: a topic of one partition."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass

    def freeze(self) -> tuple[Range, ...]:
        return (Range("log", 0, 0, len(self.facts)),)

    def read(self, wanted: Range) -> Iterator[Harvest]:
        for offset in range(wanted.first, wanted.end):
            yield Harvest(1, (self.at(offset),))

    def at(self, offset: int) -> Seen[Fact]:
        return Seen(self.facts[offset], Position("log", 0, offset, None))


class Actor:
    """Something that runs until it speaks to the server, and then waits to be stepped."""

    def __init__(self, act: Callable[["Actor"], Coroutine[Any, Any, None]]) -> None:
        self._waiting: asyncio.Future[None] | None = None
        self._is_ended = False
        self.task = asyncio.ensure_future(act(self))

    async def turn(self) -> None:
        if self._is_ended:
            raise asyncio.CancelledError
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    @property
    def is_done(self) -> bool:
        return self.task.done()

    async def step(self) -> None:
        """Let one command through, and wait for the next."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.set_result(None)
        while self._waiting is None and not self.task.done():  # noqa: ASYNC110 - a turn of the loop
            await asyncio.sleep(0)
        if self.task.done():
            self.task.result()

    async def end(self) -> None:
        """Let no command through any more, not even those of a clean-up."""
        self._is_ended = True
        self.task.cancel()
        await asyncio.wait([self.task])


class World:
    """A server, a topic, and all who have to do with them."""

    def __init__(self, *, at_each_command: bool) -> None:
        self._at_each_command = at_each_command
        self.server = Server()
        self.saved = self.server.saved()
        self.log = Log()
        self.requests = MemoryRequests()
        self.acknowledged: set[Fact] = set()
        self.published: set[Fact] = set()
        self.handled = 0
        self.evaluator = Actor(self._evaluate)
        self.agents = [Actor(partial(self._observe, which)) for which in AGENTS]
        self.rebuilds: list[Actor] = []
        self.dead: list[Actor] = []

    def append(self) -> None:
        self.log.facts.append(FACTS[len(self.log.facts)])

    def rebuild(self) -> None:
        self.rebuilds.append(Actor(self._rebuild))

    def crash(self, number: int) -> None:
        """Let a rebuild be silent for ever; its signs of life have lapsed."""
        self.dead.append(self.rebuilds.pop(number))
        for name in [name for name in self.server.data if "/alive/" in name]:
            del self.server.data[name]

    def is_ready(self) -> bool:
        data = self.server.data
        namespace = data.get("{base}/pointer", b"").decode()
        return bool(
            data.get(f"{{base}}/ready/{namespace}") == f"run-{self.server.run}:history".encode()
        )

    def placement(self, actor: Actor) -> Placement:
        client = SteppedRedis(self.server, actor.turn, at_each_command=self._at_each_command)
        return Placement(client.as_redis(), "base")

    async def _observe(self, which: int, me: Actor) -> None:
        """Handle every other record, as a worker that lives long and remembers the namespace."""
        facts, offset = PlacedFacts(self.placement(me), WINDOWS), which
        while True:
            if offset >= len(self.log.facts):
                await me.turn()
                continue
            seen = self.log.at(offset)
            try:
                await facts.add([seen])
                touched = await facts.touched([seen.fact])
            except StoreUnavailable:
                await me.turn()
                continue
            await self.requests.send(sorted(touched, key=str))
            self.acknowledged.add(seen.fact)
            offset += len(AGENTS)

    async def _evaluate(self, me: Actor) -> None:
        facts = PlacedFacts(self.placement(me), WINDOWS)
        while True:
            if self.handled == len(self.requests.sent):
                await me.turn()
                continue
            before = set(self.acknowledged)
            try:
                [dossier] = await facts.dossiers([self.requests.sent[self.handled]])
            except StoreUnavailable:
                await me.turn()
                continue
            known: set[Fact] = {one.fact for one in (*dossier.variants, *dossier.evidence)}
            if ASSIGNMENT in known:
                assert before <= known, "what was acknowledged is missing"
            else:
                assert ASSIGNMENT not in before, "the assignment is missing"
            self.published |= known
            self.handled += 1

    async def _rebuild(self, me: Actor) -> None:
        rebuild = Rebuild(
            placement=self.placement(me),
            windows=WINDOWS,
            history=lambda _: self.log,
            requests=self.requests,
            report=lambda _: None,
        )
        try:
            await rebuild()
        except (StoreUnavailable, Superseded):
            return

    async def settle(self, records: int) -> None:
        """Let everybody come to an end, with a rebuild whenever one is needed and none runs."""
        while len(self.log.facts) < records:
            self.append()
        for _ in range(SETTLES_WITHIN):
            self.rebuilds = [one for one in self.rebuilds if not one.is_done]
            if not self.rebuilds and not self.is_ready():
                self.rebuild()
            elif self._is_at_rest():
                return
            for one in self.living():
                await one.step()
        raise AssertionError("it does not settle")

    def living(self) -> list[Actor]:
        """Return all who still do something."""
        rebuilds = [one for one in self.rebuilds if not one.is_done]
        return [self.evaluator, *self.agents, *rebuilds]

    def _is_at_rest(self) -> bool:
        has_all = self.acknowledged == set(self.log.facts) and self.handled == len(
            self.requests.sent
        )
        return has_all and not self.rebuilds

    async def close(self) -> None:
        """End everybody."""
        for one in (self.evaluator, *self.agents, *self.rebuilds, *self.dead):
            await one.end()


Draw = Callable[[st.SearchStrategy[Any]], Any]


async def play(draw: Draw) -> set[Fact]:
    """Let a drawn number of things happen, and then all come to an end."""
    asyncio.get_running_loop().set_default_executor(Here())
    world = World(at_each_command=draw(st.booleans()))
    try:
        if draw(st.booleans()):
            await world.settle(records=draw(st.integers(0, len(FACTS))))
        for _ in range(draw(st.integers(0, STEPS_AT_MOST))):
            await draw(st.sampled_from((go_on, go_on, go_on, begin, trouble)))(world, draw)
        await world.settle(records=len(FACTS))
    finally:
        await world.close()
    return world.published


async def go_on(world: World, draw: Draw) -> None:
    """Let somebody send some commands."""
    actor = draw(st.sampled_from(world.living()))
    for _ in range(draw(st.sampled_from(BURSTS))):
        if not actor.is_done:
            await actor.step()


async def begin(world: World, draw: Draw) -> None:
    """Append a record, or begin a rebuild."""
    if draw(st.booleans()):
        if len(world.log.facts) < len(FACTS):
            world.append()
    elif len(world.living()) < 1 + len(AGENTS) + REBUILDS_AT_ONCE:
        world.rebuild()


async def trouble(world: World, draw: Draw) -> None:
    """Let the server or a rebuild come to harm."""
    match draw(st.sampled_from(("flush", "save", "restart", "crash"))):
        case "flush":
            world.server.flush()
        case "save":
            world.saved = world.server.saved()
        case "restart":
            world.server.restart(world.saved)
        case "crash" if world.rebuilds:
            world.crash(draw(st.integers(0, len(world.rebuilds) - 1)))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_happens_to_the_store_nothing_is_decided_without_what_was_acknowledged(
    data: st.DataObject,
) -> None:
    published = asyncio.run(play(data.draw))

    assert published == set(FACTS)
