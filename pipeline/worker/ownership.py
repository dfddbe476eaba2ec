"""The alert logs of the evaluations partitions that are ours: opened and closed with them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from pipeline.core.errors import BrokerUnavailable
from pipeline.ports import AlertLog
from pipeline.reader.batch import Partition

_PAUSE = 0.5

_log = structlog.get_logger()


class OwnedLog(AlertLog, Protocol):
    """An alert log that has to be closed."""

    def close(self) -> None:
        """Give the partition up."""
        ...


class AlertLogs:
    """One alert log for each partition, from its take-over until it is given up.

    Args:
        open_log: Takes one partition over.
    """

    def __init__(self, open_log: Callable[[int], Awaitable[OwnedLog]]) -> None:
        self._open_log = open_log
        self._logs: dict[int, OwnedLog] = {}

    async def take_over(self, partitions: frozenset[Partition]) -> None:
        """Open all logs at once, and wait for the broker for as long as it takes."""
        async with asyncio.TaskGroup() as opening:
            for one in partitions:
                opening.create_task(self._take_over(one))

    async def give_up(self, partitions: frozenset[Partition]) -> None:
        """Close the logs of partitions; those that were never opened, too."""
        for one in partitions:
            log = self._logs.pop(one.partition, None)
            if log is not None:
                log.close()

    def of(self, partition: int) -> AlertLog | None:
        """Return the log of a partition; None when it is not ours."""
        return self._logs.get(partition)

    def __len__(self) -> int:
        return len(self._logs)

    async def _take_over(self, one: Partition) -> None:
        while True:
            try:
                self._logs[one.partition] = await self._open_log(one.partition)
            except BrokerUnavailable as error:
                _log.warning("alerts.unavailable", partition=str(one), error=str(error))
                await asyncio.sleep(_PAUSE)
            else:
                return
