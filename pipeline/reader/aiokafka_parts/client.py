"""Parts 3 to 5: the client's patience, its end, and what its coordinator says."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest


def be_patient(consumer: AIOKafkaConsumer, pause: float) -> None:
    """Let the client pause after every broker has refused to tell the metadata."""
    client = consumer._client  # noqa: SLF001 - part 3
    update = client._metadata_update  # noqa: SLF001 - part 3

    async def metadata_update(*args: Any) -> bool:
        updated: bool = await update(*args)
        if not updated:
            await asyncio.sleep(pause)
        return updated

    client._metadata_update = metadata_update  # noqa: SLF001 - part 3


async def abandon(consumer: AIOKafkaConsumer) -> None:
    """Cancel the tasks of a consumer whose `stop` did not end, and close its connections."""
    coordinator, fetcher = consumer._coordinator, consumer._fetcher  # noqa: SLF001 - part 4
    tasks = [
        # A consumer without a group has a coordinator without these.
        getattr(coordinator, "_coordination_task", None),
        getattr(coordinator, "_heartbeat_task", None),
        getattr(coordinator, "_commit_refresh_task", None),
        fetcher and fetcher._fetch_task,  # noqa: SLF001 - part 4
        *(fetcher._pending_tasks if fetcher else ()),  # noqa: SLF001 - part 4
    ]
    running = [task for task in tasks if task is not None and not task.done()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await consumer._client.close()  # noqa: SLF001 - part 4


async def coordinator_answers(consumer: AIOKafkaConsumer, within: float) -> bool:
    """Tell whether the coordinator of the group is known, and answers in so many seconds."""
    coordinator = consumer._coordinator  # noqa: SLF001 - part 5
    node = coordinator and coordinator.coordinator_id
    if node is None:
        return False
    try:
        async with asyncio.timeout(within):
            await consumer._client.send(node, MetadataRequest([]))  # noqa: SLF001 - part 5
    except (KafkaError, TimeoutError):
        return False
    return True
