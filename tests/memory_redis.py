"""A Redis in memory that a test steps command by command, flushes and restarts."""

import copy
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ResponseError

Turn = Callable[[], Awaitable[None]]


class Server:
    """What a server holds; every restart is another run."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.run = 1

    def flush(self) -> None:
        self.data.clear()

    def saved(self) -> dict[str, Any]:
        return copy.deepcopy(self.data)

    def restart(self, saved: dict[str, Any]) -> None:
        self.data = copy.deepcopy(saved)
        self.run += 1

    def handle(self, name: str, *args: Any) -> Any:
        command: Callable[..., Any] = getattr(self, f"_{name.lower()}")
        return command(
            *(one.decode() if isinstance(one, bytes) else one for one in args[:1]), *args[1:]
        )

    def _info(self, *_: str) -> dict[str, object]:
        return {
            "run_id": f"run-{self.run}",
            "role": "master",
            "master_replid": "history",
            "server_time_usec": 0,
        }

    def _get(self, key: str) -> bytes | None:
        return self.data.get(key)

    def _set(self, key: str, value: str | bytes, *options: Any) -> Any:
        former = self.data.get(key)
        self.data[key] = value.encode() if isinstance(value, str) else value
        return former if "GET" in options else True

    def _del(self, key: str) -> int:
        return int(self.data.pop(key, None) is not None)

    _unlink = _del

    def _rename(self, key: str, to: str) -> bool:
        if key not in self.data:
            raise ResponseError("no such key")
        self.data[to] = self.data.pop(key)
        return True

    def _expire(self, key: str, _: int) -> int:
        return int(key in self.data)

    def _hsetnx(self, key: str, field: bytes, value: bytes) -> int:
        fields = self.data.setdefault(key, {})
        return int(fields.setdefault(field, value) is value)

    def _hgetall(self, key: str) -> dict[bytes, bytes]:
        return dict(self.data.get(key, {}))

    def _sadd(self, key: str, *members: bytes) -> int:
        self.data.setdefault(key, set()).update(members)
        return len(members)

    def _smembers(self, key: str) -> set[bytes]:
        return set(self.data.get(key, ()))

    def _scan(self, _: int, *options: Any) -> tuple[int, list[bytes]]:
        prefix = str(options[1]).removesuffix("*")
        return 0, [name.encode() for name in self.data if name.startswith(prefix)]


class SteppedRedis:
    """A client that waits for its turn: before each command, also within a pipeline, or before all.

    As the real one it sends everything once more when the server has cut the connection, as a
    restart does.
    """

    def __init__(self, server: Server, turn: Turn, *, at_each_command: bool = True) -> None:
        self._server = server
        self._turn = turn
        self._at_each_command = at_each_command
        self.connection_pool = self
        self.connection_kwargs: dict[str, object] = {}

    def as_redis(self) -> Redis:
        return cast("Redis", self)

    def pipeline(self, transaction: bool) -> "SteppedPipeline":
        return SteppedPipeline(self)

    async def set(self, key: str, value: str, *, get: bool) -> Any:
        [reply] = await self.send([("SET", key, value, "GET")])
        return reply

    async def rename(self, key: str, to: str) -> Any:
        [reply] = await self.send([("RENAME", key, to)])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def aclose(self) -> None:
        """Do nothing."""

    async def send(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        try:
            return await self._send(commands)
        except Disconnected:
            return await self._send(commands)

    async def _send(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        run, replies = self._server.run, list[Any]()
        for place, command in enumerate(commands):
            if self._at_each_command or place == 0:
                await self._turn()
            if self._server.run != run:
                raise Disconnected("restarted")
            try:
                replies.append(self._server.handle(*command))
            except ResponseError as error:
                replies.append(error)
        await self._turn()  # the replies are on their way
        if self._server.run != run:
            raise Disconnected("restarted")
        return replies


class SteppedPipeline:
    """Commands that are sent together and answered one by one."""

    def __init__(self, client: SteppedRedis) -> None:
        self._client = client
        self._commands: list[tuple[Any, ...]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do nothing."""

    def execute_command(self, *command: Any, get: bool = False) -> None:
        self._commands.append(command)

    async def execute(self, raise_on_error: bool) -> list[Any]:
        return await self._client.send(self._commands)
