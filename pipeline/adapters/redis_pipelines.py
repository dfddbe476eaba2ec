"""Commands in pipelines, with a witness who looks at the server beside them."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from pipeline.adapters.redis_client import unavailable

COMMANDS_AT_ONCE: Final = 5_000
"""What one pipeline carries at most, so that neither side buffers without bound."""

Command = tuple[str | bytes | int, ...]


class Witness(Protocol):
    """Looks at the server on the connection, and in the round trip, of the commands themselves."""

    @property
    def before(self) -> Sequence[Command]:
        """What to ask before the commands of every pipeline."""
        ...

    @property
    def after(self) -> Sequence[Command]:
        """What to ask after them."""
        ...

    def judge(self, before: Sequence[Any], after: Sequence[Any], /) -> None:
        """Look at the answers.

        Raises:
            StoreUnavailable: what was asked between them is of no use.
        """
        ...


async def call(
    client: Redis, commands: Iterable[Command], witness: Witness | None = None
) -> list[Any]:
    """Send commands and return their replies, none of which is an error.

    Raises:
        StoreUnavailable: the server does not answer all of them, or the witness objects.
    """
    before = () if witness is None else witness.before
    after = () if witness is None else witness.after
    replies: list[Any] = []
    rest = iter(commands)
    while chunk := list(islice(rest, COMMANDS_AT_ONCE)):
        answered = await _answers(client, (*before, *chunk, *after))
        for reply in answered:
            if isinstance(reply, Exception):
                raise unavailable(client, reply) from reply
        first, end = len(before), len(before) + len(chunk)
        if witness is not None:
            witness.judge(answered[:first], answered[end:])
        replies += answered[first:end]
    return replies


async def _answers(client: Redis, commands: Iterable[Command]) -> list[Any]:
    try:
        async with client.pipeline(transaction=False) as pipe:
            for command in commands:
                if command[0] == "SET" and command[-1] == "GET":
                    pipe.execute_command(*command, get=True)  # else the client hides the answer
                else:
                    pipe.execute_command(*command)
            return list(await pipe.execute(raise_on_error=False))
    except RedisError as error:
        raise unavailable(client, error) from error
