"""A plain Faust agent over raw bytes with the same byte test and decoder, as a process of its own.

Called with servers, topic, group and number of records. Faust runs as its documentation has it:
only the web server, the leader's topic and the declaring of topics are off, which can but help it.
"""

import asyncio
import logging
import sys
import tempfile
from typing import Any

import faust

from .needle import Guest


async def main() -> None:
    servers, topic, group, records = sys.argv[1:]
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        app = faust.App(
            group,
            broker=f"kafka://{servers}",
            datadir=folder,
            consumer_auto_offset_reset="earliest",
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
        )
        done = asyncio.Event()
        audit = app.topic(topic, value_type=bytes, value_serializer="raw")

        async def agent(values: Any) -> None:
            guest = Guest(int(records))
            async for value in values:
                if guest.take(value):
                    done.set()

        app.agent(audit, name="audit")(agent)
        await app.start()
        await done.wait()
        await app.stop()


if __name__ == "__main__":
    asyncio.run(main())
