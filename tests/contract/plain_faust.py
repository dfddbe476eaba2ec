"""A plain Faust program, as Faust's documentation writes them, that says what happens to it.

Run by `test_faust_kafka.py` as a process of its own. Each line of its output is JSON.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust
from faust.transport.drivers.aiokafka import Consumer, Transport


def say(**what: object) -> None:
    """Print a line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class OneMessageABatch(Consumer):
    """Makes one message of all records that were fetched of a partition."""

    async def getmany(self, timeout: float) -> AsyncIterator[Any]:  # noqa: ASYNC109 - Faust's own
        """Fetch, and wrap."""
        records, _ = await self._wait_next_records(timeout)
        for partition, of in (records or {}).items():
            message: Any = self._to_message(partition, of[-1])
            message.value = [record.value for record in of]
            yield partition, message


class BatchTransport(Transport):
    """Faust's transport with that consumer."""

    Consumer = OneMessageABatch


class AsItIs(faust.Schema[Any, Any]):
    """Passes a value through, whatever it is."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """Return it."""
        return message.value


def main(options: argparse.Namespace) -> None:
    """Run until a signal comes."""
    app = faust.App(
        options.group,
        broker=f"{options.transport}://{options.broker}",
        broker_commit_interval=0.1,
        broker_session_timeout=options.session,
        broker_heartbeat_interval=1,
        broker_rebalance_timeout=options.session,
        consumer_auto_offset_reset="earliest",
        datadir=f"{options.folder}/data",
        stream_wait_empty=not options.wait_not,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    if options.batches:
        app.transport = BatchTransport(app.conf.broker_consumer, app)
    source = (
        app.topic(options.topic, schema=AsItIs())
        if options.batches
        else app.topic(options.topic, value_serializer="raw")
    )
    release = Path(options.folder) / "release"
    sink = app.topic(f"{options.topic}.sink", value_serializer="raw")

    async def agent(stream: Any) -> None:
        async for value in stream:
            text = f"{len(value)} values" if isinstance(value, list) else value.decode()
            say(started=text)
            if text == options.fail_on:
                raise ValueError(text)
            while text == options.hold_on and not release.exists():  # noqa: ASYNC110 - released from outside
                await asyncio.sleep(0.02)
            if options.forward:
                sent: Any = await sink.send(value=value * 1000)
                say(sent=text, delivered=sent.done())
            say(done=text)

    app.agent(source, concurrency=options.concurrency)(agent)
    faust.Worker(
        app, loglevel="ERROR", quiet=True, redirect_stdouts=False
    ).execute_from_commandline()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("broker", "topic", "group", "folder"):
        parser.add_argument(name)
    parser.add_argument("--transport", default="kafka")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--session", type=float, default=10)
    parser.add_argument("--fail-on")
    parser.add_argument("--hold-on")
    for flag in ("wait-not", "forward", "batches"):
        parser.add_argument(f"--{flag}", action="store_true")
    main(parser.parse_args())
