"""A look at a Redis-compatible server that changes nothing there, and takes no longer than it may.

What our user may do is asked by `ACL DRYRUN`. Where that is not allowed, the commands themselves
are sent, of a key that is not there and in a form that then does nothing; SADD and HSETNX have
none.
"""

import asyncio
import secrets
import time
from collections import Counter
from datetime import timedelta
from statistics import median
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from pipeline.adapters.not_reached import NotReached
from pipeline.adapters.redis_client import unavailable, where
from pipeline.adapters.redis_marks import Marks
from pipeline.adapters.redis_pipelines import Command, call
from pipeline.adapters.redis_placement import Placement
from pipeline.adapters.redis_standing import Lacks, Leftovers, RedisStanding
from pipeline.core.errors import MasswatchError, StoreUnavailable

_ROUND_TRIPS: Final = 5
_SCAN_WITHIN: Final = timedelta(seconds=2)
_KEYS_AT_ONCE: Final = 1_000


async def look_at_redis(
    client: Redis, base: str, *, within: timedelta
) -> RedisStanding | NotReached:
    """Look how a server stands.

    Args:
        client: A client that returns bytes.
        base: What the operator calls the namespace.
        within: How long it may take.
    """
    try:
        async with asyncio.timeout(within.total_seconds()):
            return await _look(client, base)
    except TimeoutError:
        seconds = f"{within.total_seconds():g} s"
        return NotReached(
            where(client), f"no answer within {seconds}", "look at its load and at the network"
        )
    except MasswatchError as error:
        return NotReached.of(error)


async def _look(client: Redis, base: str) -> RedisStanding:
    untold: dict[str, str] = {}
    placement = Placement(client, base)
    [info] = await call(client, [("INFO",)])
    round_trip, ahead = await _clocks(client)
    namespace, fault, is_being_rebuilt = None, None, False
    try:
        standing = await placement.look()
    except StoreUnavailable as error:
        untold["fault"] = str(error)
    else:
        namespace, fault = standing.namespace, standing.fault
        is_being_rebuilt = standing.is_being_rebuilt
    lacks = await _lacks(client, placement.marks)
    leftovers: Leftovers | None = None
    try:
        leftovers = await _leftovers(client, placement.marks, namespace)
    except StoreUnavailable as error:
        untold["leftovers"] = str(error)
    return RedisStanding(
        where=where(client),
        info=info,
        round_trip=round_trip,
        ahead=ahead,
        namespace=namespace,
        fault=fault,
        is_being_rebuilt=is_being_rebuilt,
        lacks=lacks,
        leftovers=leftovers,
        untold=untold,
    )


async def _clocks(client: Redis) -> tuple[timedelta, timedelta | None]:
    """Return the median round trip, and how far the server's clock is ahead by the quickest."""
    trips: list[tuple[timedelta, timedelta | None]] = []
    for _ in range(_ROUND_TRIPS):
        began = time.time()
        [told] = await call(client, [("INFO", "server")])
        ended = time.time()
        trip = timedelta(seconds=ended - began)
        theirs = told.get("server_time_usec")
        ours = timedelta(seconds=(began + ended) / 2)
        trips.append((trip, None if theirs is None else timedelta(microseconds=theirs) - ours))
    _, ahead = min(trips, key=lambda one: one[0])
    return timedelta(seconds=median(trip.total_seconds() for trip, _ in trips)), ahead


async def _lacks(client: Redis, marks: Marks) -> Lacks:
    """Find out which commands our user lacks."""
    [user] = await _replies(client, [("ACL", "WHOAMI")])
    if not isinstance(user, bytes):
        return await _tried(client, marks)
    needed = _needed(marks, "doctor")
    asked: list[Command] = [("ACL", "DRYRUN", user, *command) for command in needed.values()]
    replies = await _replies(client, asked)
    if any(isinstance(reply, Exception) for reply in replies):
        return await _tried(client, marks)
    refused = {
        name: reply.decode(errors="replace")
        for name, reply in zip(needed, replies, strict=True)
        if reply != b"OK"
    }
    return Lacks(user.decode(errors="replace"), refused)


async def _tried(client: Redis, marks: Marks) -> Lacks:
    """Send what does nothing to a key that is not there."""
    harmless = {
        name: command
        for name, command in _needed(marks, secrets.token_hex(8)).items()
        if name not in _NEVER_TRIED
    }
    replies = await _replies(client, list(harmless.values()))
    refused = {
        name: str(reply)
        for name, reply in zip(harmless, replies, strict=True)
        if isinstance(reply, NoPermissionError)
    }
    why = "this user may not ask ACL WHOAMI and ACL DRYRUN"
    return Lacks(None, refused, _NEVER_TRIED, why)


_NEVER_TRIED: Final = ("SADD", "HSETNX")


def _needed(marks: Marks, token: str) -> dict[str, Command]:
    """Return every command that a worker needs, as it does nothing to keys that are not there."""
    mark, other = marks.building(f"{marks.base}.{token}"), marks.ready(f"{marks.base}.{token}")
    fact = f"{marks.base}.{token}/v/doctor/doctor"
    return {
        "GET": ("GET", mark),
        "SET": ("SET", mark, "", "XX"),
        "DEL": ("DEL", mark),
        "RENAME": ("RENAME", mark, other),
        "UNLINK": ("UNLINK", fact),
        "EXPIRE": ("EXPIRE", fact, 1),
        "HGETALL": ("HGETALL", fact),
        "SMEMBERS": ("SMEMBERS", fact),
        "SADD": ("SADD", fact, ""),
        "HSETNX": ("HSETNX", fact, "", ""),
        "SCAN": ("SCAN", 0, "COUNT", 1),
        "INFO": ("INFO", "server"),
    }


async def _leftovers(client: Redis, marks: Marks, namespace: str | None) -> Leftovers:
    """Look for namespaces that nobody needs, for as long as there is time."""
    keys, looked_at, cursor = Counter[str](), 0, 0
    deadline = time.monotonic() + _SCAN_WITHIN.total_seconds()
    while True:
        [(cursor, names)] = await call(client, [("SCAN", cursor, "COUNT", _KEYS_AT_ONCE)])
        looked_at += len(names)
        keys.update(marks.namespaces(names))
        if not cursor or time.monotonic() > deadline:
            break
    others = [one for one in keys if one != namespace]
    alive = await call(client, [("GET", marks.alive(one)) for one in others])
    left = {one: keys[one] for one, sign in zip(others, alive, strict=True) if sign is None}
    return Leftovers(left, looked_at, is_all=not cursor)


async def _replies(client: Redis, commands: list[Command]) -> list[Any]:
    """Send commands and return their replies, errors among them."""
    try:
        async with client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(await pipe.execute(raise_on_error=False))
    except RedisError as error:
        raise unavailable(client, error) from error
