"""Python runs this first in every process that has this folder on its path: a worker is spoiled.

`CHAOS_TAMPERING` says how: names with or without a value, separated by commas. A worker may have
a wrong clock, sleep at the worst moment, or lack one of the guards; the last is there to see that
schedules fail without it.
"""

import os
import signal
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any


def clock(days: str) -> None:
    """Let the clock be wrong by so many days."""
    import time_machine

    moment = datetime.now(UTC) + timedelta(days=float(days))
    time_machine.travel(moment, tick=True).start()


def sleeps_before_publishing(number: str) -> None:
    """Stop the process when it has decided so many times, before it publishes."""
    from pipeline.adapters.kafka_alerts import KafkaAlerts

    _stop_before(KafkaAlerts, "_transact", int(number))


def sleeps_before_commit(number: str) -> None:
    """Stop the process in so many transactions' end, before they are committed."""
    from confluent_kafka import Producer

    from pipeline.adapters import kafka_alerts

    class Sleeper(Producer):
        pass

    _stop_before(Sleeper, "commit_transaction", int(number))
    replaced: Any = kafka_alerts
    replaced.Producer = Sleeper


def hangs(number: str) -> None:
    """Let the stage of the sources never end the batch of that number."""
    import asyncio

    from pipeline.stages.observe import Observe

    observe, calls = Observe.__call__, count(1)

    async def hanging(*args: Any) -> bool:
        if next(calls) == int(number):
            await asyncio.Event().wait()
        return await observe(*args)

    replaced: Any = Observe
    replaced.__call__ = hanging


def slow_deliveries(_: str) -> None:
    """Let requests and dead letters stay here for three seconds before they are sent."""
    from pipeline.adapters import kafka_deliveries

    replaced: Any = kafka_deliveries
    replaced._DEFAULTS = {**kafka_deliveries._DEFAULTS, "linger.ms": "3000"}


def no_fencing(_: str) -> None:
    """Open alerts under a new transactional id each time, so that nobody is fenced."""
    from pipeline.adapters import kafka_alerts

    replaced: Any = kafka_alerts
    opened = kafka_alerts._open

    def unfenced(client: Any, _: str, *more: Any) -> Any:
        return opened(client, uuid.uuid4().hex, *more)

    replaced._open = unfenced


def no_books(_: str) -> None:
    """Let a batch count as done when it is handed out."""
    from pipeline.reader.books import Book

    give = Book.give

    def given(book: Book, end: int, *, now: float) -> Any:
        entry = give(book, end, now=now)
        book.done(entry)
        return entry

    replaced: Any = Book
    replaced.give = given


def no_waiting_for_deliveries(_: str) -> None:
    """Count what was given to the producer as delivered."""
    from pipeline.adapters.kafka_deliveries import Deliveries

    async def send(deliveries: Deliveries, records: Any) -> None:
        for record in records:
            deliveries._producer.produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                headers=list(record.headers),
            )

    replaced: Any = Deliveries
    replaced.send = send


def no_store_marks(_: str) -> None:
    """Believe every store that answers."""
    from pipeline.adapters.redis_placement import Placement, Standing

    async def look(_: Placement) -> Standing:
        return Standing("unmarked", None, is_being_rebuilt=False)

    async def pointer(_: Placement) -> str:
        return "unmarked"

    replaced: Any = Placement
    replaced.look = look
    replaced.pointer = pointer
    replaced.in_force = replaced.complete = lambda *_: None


def _stop_before(owner: Any, name: str, number: int) -> None:
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def stopping(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGSTOP)
        return original(*args)

    setattr(owner, name, stopping)


def spoil() -> None:
    """Spoil this process as its environment says."""
    for one in filter(None, os.environ.get("CHAOS_TAMPERING", "").split(",")):
        name, _, value = one.partition("=")
        globals()[name](value)


spoil()
