"""FastStream over raw bytes with the same byte test and decoder, as a process of its own.

Called with servers, topic, group, number of records, and `one` or `batch`, by an interpreter that
has FastStream (`requirements.lock` beside this). Its broker is the one on confluent-kafka, its
decoder hands over the bytes as they are, and it logs nothing.
"""

import asyncio
import sys
from typing import Any

from faststream.confluent import KafkaBroker

from .needle import Guest


async def main() -> None:
    servers, topic, group, records, form = sys.argv[1:]
    broker = KafkaBroker(servers, logger=None)
    done = asyncio.Event()
    guest = Guest(int(records))

    def test(value: bytes) -> None:
        if guest.take(value):
            done.set()

    async def one(value: bytes) -> None:
        test(value)

    async def batch(values: list[bytes]) -> None:
        for value in values:
            test(value)

    async def raw(message: Any) -> Any:
        return message.body

    subscribed = broker.subscriber(
        topic,
        group_id=group,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        decoder=raw,
        batch=form == "batch",
        max_records=500 if form == "batch" else None,
    )
    subscribed({"one": one, "batch": batch}[form])
    await broker.start()
    await done.wait()
    await broker.stop()


if __name__ == "__main__":
    asyncio.run(main())
