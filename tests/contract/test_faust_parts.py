"""What the worker relies on in Faust, and why nothing may escape an agent.

What Faust does with a Kafka of its own is in `test_faust_kafka.py`.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
import pytest
from mode import Service

from pipeline.reader.batch import RecordBatch
from pipeline.worker.app import App, Handle, add_agent, make_app


class NoClaim:
    async def ready(self) -> bool:
        return True

    def done(self) -> None:
        pass

    def drop(self) -> None:
        pass


def a_batch(first: int) -> RecordBatch:
    return RecordBatch("intune.audit.v1", 0, first, first, 1, (), NoClaim())


def run(body: Callable[[App], Awaitable[None]]) -> None:
    async def main() -> None:
        app = make_app("contract")
        try:
            async with asyncio.timeout(10):
                await body(app)
        finally:
            await app.stop()

    asyncio.run(main())


class Seen(list[int]):
    """What an agent has seen, and a way to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def add(self, number: int) -> None:
        self.append(number)
        self._more.set()

    async def becomes(self, expected: list[int]) -> None:
        async with asyncio.timeout(5):
            while self != expected:
                self._more.clear()
                await self._more.wait()


def test_an_agent_gets_its_own_batches_in_order_and_one_at_a_time() -> None:
    seen = {"audit": Seen(), "evaluations": Seen()}
    running: set[str] = set()

    def handler(name: str) -> Handle:
        async def handle(batch: RecordBatch) -> None:
            assert name not in running
            running.add(name)
            await asyncio.sleep(0.001)
            running.discard(name)
            seen[name].add(batch.first_offset)

        return handle

    async def body(app: App) -> None:
        audit = add_agent(app, "audit", handler("audit"))
        evaluations = add_agent(app, "evaluations", handler("evaluations"))
        await app.start()
        for number in range(20):
            await audit(a_batch(number))
            await evaluations(a_batch(100 + number))
        await seen["audit"].becomes(list(range(20)))
        await seen["evaluations"].becomes(list(range(100, 120)))

    run(body)


def test_the_app_connects_to_nothing_and_leaves_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the app connects")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    datadirs: list[Path] = []

    async def body(app: App) -> None:
        async def handle(_: RecordBatch) -> None: ...

        deliver = add_agent(app, "audit", handle)
        await app.start()
        await deliver(a_batch(1))
        datadirs.append(app.conf.datadir)

    run(body)

    assert list(tmp_path.iterdir()) == []
    assert not datadirs[0].exists()


def test_the_loop_that_faust_opens_and_never_uses_is_closed() -> None:
    opened: list[asyncio.AbstractEventLoop] = []

    async def body(app: App) -> None:
        opened.append(app.consumer._thread.thread_loop)  # type: ignore[attr-defined]
        await app.start()

    run(body)

    assert opened[0].is_closed()


def test_what_escapes_an_agent_counts_as_handled() -> None:
    seen = Seen()

    async def handle(batch: RecordBatch) -> None:
        if batch.first_offset == 2:
            raise ValueError("escaped")
        seen.add(batch.first_offset)

    async def body(app: App) -> None:
        deliver = add_agent(app, "audit", handle)
        await app.start()
        for number in range(1, 5):
            await deliver(a_batch(number))
        await seen.becomes([1, 3, 4])

    run(body)


def test_a_channel_never_holds_its_sender_back_and_keeps_the_order() -> None:
    gate, handled = asyncio.Event(), list[int]()

    async def handle(batch: RecordBatch) -> None:
        await gate.wait()
        handled.append(batch.first_offset)

    async def body(app: App) -> None:
        deliver = add_agent(app, "audit", handle)
        await app.start()

        async with asyncio.timeout(5):
            for number in range(1000):
                await deliver(a_batch(number))
            assert not handled
            gate.set()
            while len(handled) < 1000:  # noqa: ASYNC110 - the agent tells nobody
                await asyncio.sleep(0.01)
        assert handled == list(range(1000))

    run(body)


def test_the_crash_of_a_service_ends_the_app_within_a_second() -> None:
    bug = RuntimeError("died")

    class Dies(Service):
        @Service.task
        async def _die(self) -> None:
            raise bug

    async def body(app: App) -> None:
        await app.start()
        await app.add_runtime_dependency(Dies())
        await asyncio.wait_for(app.wait_until_stopped(), 1)
        assert app.crash_reason is bug

    run(body)


def test_a_crash_called_in_an_agent_ends_the_app_within_a_second() -> None:
    bug = RuntimeError("died")

    async def body(app: App) -> None:
        async def handle(_: RecordBatch) -> None:
            await app.crash(bug)
            raise bug

        deliver = add_agent(app, "audit", handle)
        await app.start()
        await deliver(a_batch(1))
        await asyncio.wait_for(app.wait_until_stopped(), 1)
        assert app.crash_reason is bug

    run(body)


def test_two_agents_on_one_channel_both_get_every_batch() -> None:
    seen = {"one": Seen(), "other": Seen()}

    async def body(app: App) -> None:
        channel = app.channel()
        for name, numbers_seen in seen.items():

            async def agent(numbers: Any, to: Seen = numbers_seen) -> None:
                async for number in numbers:
                    to.add(number)

            app.agent(channel, name=name)(agent)
        await app.start()
        for number in range(3):
            await channel.send(value=number)
        await seen["one"].becomes([0, 1, 2])
        await seen["other"].becomes([0, 1, 2])

    run(body)


def test_an_agent_takes_no_handler_of_errors() -> None:
    async def body(app: App) -> None:
        async def agent(_: Any) -> None: ...

        async def on_error(*_: Any) -> None: ...

        with pytest.raises(TypeError, match="on_error"):
            app.agent(app.channel(), name="audit", on_error=on_error)(agent)

    run(body)


def test_nothing_arrives_until_the_flow_is_resumed() -> None:
    seen = Seen()

    async def body(app: App) -> None:
        async def handle(batch: RecordBatch) -> None:
            seen.add(batch.first_offset)

        deliver = add_agent(app, "audit", handle)
        await app.start()
        app.flow_control.suspend()
        sending = asyncio.ensure_future(deliver(a_batch(1)))
        await asyncio.wait([sending], timeout=0.2)
        assert not sending.done()

        app.flow_control.resume()

        await seen.becomes([1])
        await sending

    run(body)


def test_the_defaults_that_are_not_ours_are_what_they_were() -> None:
    settings = faust.App("contract", broker="kafka://nowhere.invalid", autodiscover=False).conf

    assert settings.broker_commit_interval == 2.8
    assert settings.broker_session_timeout == 60.0
    assert settings.broker_rebalance_timeout == 60.0
    assert settings.broker_max_poll_records is None
    assert settings.consumer_max_fetch_size == 1024**2
    assert settings.stream_wait_empty
    assert settings.web_enabled
    assert settings.web_port == 6066
    assert settings.topic_allow_declare
