"""The servers that schedules run on, one schedule after another, and what is done to them."""

import asyncio
import os
import resource
import signal
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from redis import Redis

from pipeline.demo.fleet import until
from pipeline.localstack import Addresses, down, up
from pipeline.localstack.free_port import HOST

_ENDS_WITHIN = 30.0


class Lane:
    """A Kafka and a Redis that a schedule may do anything to, and that the next finds empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = up(folder)
        self.slow = SlowPath(self._stack.redis.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.slow.close()
        down(self.folder, purge=True)

    @property
    def direct(self) -> Addresses:
        """Where the servers are."""
        return self._stack

    @property
    def addresses(self) -> Addresses:
        """Where workers find the servers: Redis behind the path that can be made slow."""
        return Addresses(self._stack.bootstrap_servers, f"redis://{HOST}:{self.slow.port}/0")

    @property
    def client(self) -> dict[str, str]:
        """The settings of a librdkafka client."""
        return {"bootstrap.servers": self._stack.bootstrap_servers}

    def redis(self) -> Redis:
        """Return a client of Redis that does not go by the path."""
        return Redis.from_url(self._stack.redis_url)

    def reset(self) -> None:
        """Leave nothing of the last schedule."""
        self.heal()
        admin = AdminClient({**self.client, "log_level": "0"})
        names = [name for name in admin.list_topics(timeout=10).topics if name[:2] != "__"]
        if names:
            for deleted in admin.delete_topics(names, operation_timeout=20).values():
                deleted.result()
            until(
                lambda: not set(names) & admin.list_topics(timeout=10).topics.keys(),
                "topics deleted",
                20,
            )
        with self.redis() as redis:
            redis.flushall()

    def heal(self) -> None:
        """Let both servers run, and refuse nothing."""
        self.slow.delay = 0.0
        self._stack = up(self.folder)
        self.let_redis_write()

    def end_kafka(self, number: signal.Signals) -> None:
        """End Kafka by a signal, and wait until it is gone."""
        _end(self._stack.kafka.pid, number)

    def end_redis(self, number: signal.Signals) -> None:
        """End Redis by a signal, and wait until it is gone."""
        _end(self._stack.redis.pid, number)

    def signal_kafka(self, number: signal.Signals) -> None:
        """Send Kafka a signal."""
        os.kill(self._stack.kafka.pid, number)

    def signal_redis(self, number: signal.Signals) -> None:
        """Send Redis a signal."""
        os.kill(self._stack.redis.pid, number)

    def fill_kafkas_disk(self) -> None:
        """Let no file of Kafka's grow any more; it ends itself then, as with a full disk."""
        _, hard = resource.prlimit(self._stack.kafka.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._stack.kafka.pid, resource.RLIMIT_FSIZE, (1, hard))
        until(lambda: not _runs(self._stack.kafka.pid), "Kafka ended by its full disk", 60)

    def forbid_redis_to_write(self) -> None:
        """Let Redis answer writes with NOREPLICAS."""
        with self.redis() as redis:
            redis.config_set("min-replicas-to-write", 1)

    def fill_redis(self) -> None:
        """Let Redis answer writes with OOM."""
        with self.redis() as redis:
            redis.config_set("maxmemory", 1)

    def let_redis_write(self) -> None:
        """Let Redis take writes again."""
        with self.redis() as redis:
            redis.config_set("min-replicas-to-write", 0)
            redis.config_set("maxmemory", 0)

    def compact(self, topics: Sequence[str]) -> None:
        """Let topics be compacted as soon as there is anything to compact."""
        wanted = {
            "cleanup.policy": "compact",
            "segment.ms": "200",
            "min.cleanable.dirty.ratio": "0.01",
            "min.compaction.lag.ms": "0",
        }
        self._configure(_config(ResourceType.TOPIC, topic, wanted) for topic in topics)
        self._configure([_config(ResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "300"})])

    def _configure(self, changes: Iterable[ConfigResource]) -> None:
        admin = AdminClient({**self.client, "log_level": "0"})
        for done in admin.incremental_alter_configs(list(changes)).values():
            done.result()


class SlowPath:
    """A way to a port of this machine, on which each piece waits for `delay` seconds.

    Pieces of one direction wait one after the other, so it is also a narrow way.
    """

    def __init__(self, to: int) -> None:
        self.delay = 0.0
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = self._do(asyncio.start_server(self._connected, HOST, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more, and end every connection."""
        self._do(self._ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _ended(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        ends = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*ends)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(HOST, self._to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._passed(reader, inner_writer), self._passed(inner_reader, writer))

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError):  # the other side has gone, and so does this one
            while piece := await reader.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(piece)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


def _config(kind: ResourceType, name: str, wanted: dict[str, str]) -> ConfigResource:
    set_to: Callable[..., ConfigEntry] = ConfigEntry
    return ConfigResource(
        kind,
        name,
        incremental_configs=[
            set_to(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in wanted.items()
        ],
    )


def _end(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    until(lambda: not _runs(pid), f"server {pid} ended", _ENDS_WITHIN)


def _runs(pid: int) -> bool:
    """Tell whether a child of ours runs; one that has ended is reaped."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
