"""The Faust app: agents over channels, with Faust's own Kafka, web server and tables left out.

Faust's Kafka client loses records (see the contract test beside this); a reader of ours feeds the
channels. An exception that escapes an agent would count as handled by Faust, so none may.
"""

import logging
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.app.base import BootStrategy

from pipeline.reader.batch import RecordBatch
from pipeline.worker.faust_parts import close_unused_loop

Handle = Callable[[RecordBatch], Awaitable[None]]

_NO_BOUND = 0
"""A reader holds back itself; a full channel would stop the partitions behind it as well."""


class _AgentsOnly(BootStrategy):
    enable_kafka = False
    enable_web = False
    enable_sensors = False


class App(faust.App):
    """A Faust app that connects to nothing."""

    BootStrategy = _AgentsOnly
    mundane_level = "debug"

    async def on_shutdown(self) -> None:
        """Give back what Faust insists on: a folder, and an event loop."""
        close_unused_loop(self)
        shutil.rmtree(self.conf.datadir)


def make_app(name: str) -> App:
    """Return an app without agents; to be called in the loop that it runs in."""
    app = App(
        name,
        broker="kafka://nowhere.invalid",
        datadir=tempfile.mkdtemp(prefix="masswatch-faust-"),
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
    )
    app.flow_control.resume()
    # It tells of Kafka parts that are not there.
    logging.getLogger(__name__).setLevel(logging.WARNING)
    return app


def add_agent(app: App, name: str, handle: Handle) -> Handle:
    """Let an agent hand every batch to `handle`, one after the other.

    Returns:
        What takes the agent's batches, without waiting.
    """
    channel = app.channel(maxsize=_NO_BOUND)

    async def agent(batches: Any) -> None:
        async for batch in batches:
            await handle(batch)

    app.agent(channel, name=name)(agent)

    async def deliver(batch: RecordBatch) -> None:
        await channel.send(value=batch)

    return deliver
