"""A client of Redis whose pipelines take their replies off the wire without ceremony.

redis-py sets a timer for every single reply, looks its command up by name, and encodes commands in
pieces: tens of microseconds each, where a batch has thousands. Here one timer is moved along with
the replies.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as NoAnswer

_MOVES_EVERY: Final = 64
"""Replies after which the timer is moved: so many together may take as long as one."""


class QuickRedis(Redis):
    """redis-py's client, with pipelines of ours."""

    def pipeline(  # redis-py's own form
        self,
        transaction: bool = True,  # noqa: FBT001, FBT002
        shard_hint: str | None = None,
    ) -> Pipeline:
        """Return a pipeline; a transaction is left to redis-py."""
        of = Pipeline if transaction else QuickPipeline
        return of(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class QuickPipeline(Pipeline):
    """Sends all of its commands at once, and reads all of the replies; it watches no keys."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Queue a command."""
        self.command_stack.append((args, options))
        return self

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002
        """Return the replies, errors that the server replied among them.

        Raises:
            RedisError: the server was not reached, or did not answer in time.
        """
        if raise_on_error or not self.command_stack:
            return await super().execute(raise_on_error)
        pool: Any = self.connection_pool
        connection: Connection = await pool.get_connection()
        self.connection = connection  # given back by the end of the pipeline
        return await connection.retry.call_with_retry(
            lambda: self._exchanged(connection), lambda _: connection.disconnect()
        )

    async def _exchanged(self, connection: Connection) -> list[Any]:
        queued, patience = self.command_stack, connection.socket_timeout
        clock, meanings = asyncio.get_running_loop().time, self._meanings()
        replies: list[Any] = []
        await connection.send_packed_command(packed(command for command, _ in queued))
        try:
            async with asyncio.timeout(patience) as limit:
                for command, options in queued:
                    if patience is not None and len(replies) % _MOVES_EVERY == 0:
                        limit.reschedule(clock() + patience)
                    try:
                        reply = await connection.read_response(timeout=math.inf)
                    except ResponseError as error:
                        replies.append(error)
                        continue
                    meaning = meanings[command[0]]
                    replies.append(reply if meaning is None else meaning(reply, **options))
        except TimeoutError:
            await connection.disconnect(nowait=True)
            raise NoAnswer("timeout reading from the socket") from None
        return replies

    def _meanings(self) -> dict[Any, Callable[..., Any] | None]:
        """Return what turns the reply to each kind of command into what redis-py returns."""
        names = {command[0] for command, _ in self.command_stack}
        return {name: self.response_callbacks.get(name) for name in names}


def packed(commands: Iterable[tuple[Any, ...]]) -> bytes:
    """Write commands as the protocol has them: arrays of texts, each with its length before it."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for one in command:
            content = one if isinstance(one, bytes) else str(one).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(content), content))
    return b"".join(parts)
