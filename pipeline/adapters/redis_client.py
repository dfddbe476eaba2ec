"""The connection to Redis, and what its errors mean to us."""

import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from pipeline.adapters.redis_quick import QuickRedis
from pipeline.core.errors import ConfigError, StoreRefuses, StoreUnavailable

ANSWERS_WITHIN: Final = timedelta(seconds=3)

_SAYS_AT_MOST: Final = 120

_REFUSALS: Final[tuple[tuple[type[exceptions.RedisError], str], ...]] = (
    (
        exceptions.AuthenticationError,
        "refuses user or password: correct MASSWATCH_REDIS__USERNAME and MASSWATCH_REDIS__PASSWORD",
    ),
    (
        exceptions.NoPermissionError,
        "forbids a command to this user: extend its ACL (README, Least privileges)",
    ),
)
_MEANINGS: Final[tuple[tuple[type[exceptions.RedisError], str], ...]] = (
    (exceptions.BusyLoadingError, "still loads its data: wait until it has"),
    (exceptions.MaxConnectionsError, "no connection is free: raise max_connections in the url"),
    (exceptions.TimeoutError, "does not answer in time: look at its load and at the network"),
    (exceptions.ConnectionError, "not reachable: start it or correct the url"),
    (exceptions.ReadOnlyError, "is a replica and takes no writes: name the primary"),
    (exceptions.OutOfMemoryError, "out of memory: raise maxmemory, keep noeviction"),
)
"""The first that fits counts; the texts of the errors themselves may quote what was sent."""


def connect(
    url: str,
    timeout: timedelta = ANSWERS_WITHIN,
    *,
    access: Mapping[str, Any] | None = None,
) -> Redis:
    """Make a client for a server, without speaking to it yet.

    Args:
        url: `redis://`, `rediss://` or `unix://`, maybe with user and password.
        timeout: How long to wait for a connection, and for each answer.
        access: User, password and TLS, as redis-py calls them; the url is stronger.

    Raises:
        ConfigError: the url cannot be read.
    """
    seconds = timeout.total_seconds()
    try:
        return QuickRedis.from_url(
            url,
            **(access or {}),
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            socket_keepalive=True,
            decode_responses=False,
            protocol=2,
            # Once, at once: for a pooled connection that a restart of the server has cut.
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError:
        # Not even as a cause: the error may quote the password.
        raise ConfigError("redis url: not to be read: write redis://localhost:6379/0") from None


def where(client: Redis) -> str:
    """Say which server a client speaks to, as errors begin: without user and password."""
    settings = client.connection_pool.connection_kwargs
    if path := settings.get("path"):
        return f"redis {path}"
    return f"redis {settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def unavailable(client: Redis, error: Exception) -> StoreUnavailable:
    """Say what an error of the client, or an error that the server replied, means to us."""
    for kind, meaning in _REFUSALS:
        if isinstance(error, kind):
            return StoreRefuses(f"{where(client)}: {meaning}")
    if isinstance(beneath := error.__cause__ or error.__context__, ssl.SSLError):
        return StoreRefuses(
            f"{where(client)}: no TLS connection ({beneath.reason}): look at "
            "MASSWATCH_REDIS__CA_FILE and at the names in the server's certificate"
        )
    for kind, meaning in _MEANINGS:
        if isinstance(error, kind):
            return StoreUnavailable(f"{where(client)}: {meaning}")
    said = str(error)[:_SAYS_AT_MOST]
    return StoreUnavailable(f"{where(client)}: answers {said!r}: look at the server")
