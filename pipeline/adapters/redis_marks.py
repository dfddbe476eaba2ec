"""The marks in Redis that say which facts are in force and complete, and who looks at them.

    {<base>}/pointer            the namespace of the facts in force: <base>.<token>
    {<base>}/building/<facts>   where a rebuild fills that namespace: run id of the server
    {<base>}/ready/<facts>      the same, once it is full: made by renaming the former, never else
    {<base>}/alive/<facts>      there while the process of that rebuild lives

A token is used once, and `building` is set once, before the first fact: so a `ready` that is there
says that nothing was flushed since. A restart or a failover, which may bring back an old state,
gives another run id than the one in it. The marks are about one namespace each, so that of two
rebuilds at once neither can pass off what the other has filled. All of them share a hash tag, for
Redis Cluster renames only within one.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from pipeline.adapters.redis_client import where
from pipeline.adapters.redis_pipelines import Command
from pipeline.core.errors import MasswatchError, StoreUnavailable

RUN: Final[Command] = ("INFO", "server", "replication")
"""Tells which run of which server answers, and as the primary of which history.

The run alone would not do: a primary that was a replica for a while has what the other had, under
its own run. Its history (`master_replid`) is another then.
"""


@dataclass(frozen=True, slots=True)
class Marks:
    """The names of all marks of one base."""

    base: str

    @property
    def pointer(self) -> str:
        """Name what holds the namespace in force."""
        return f"{{{self.base}}}/pointer"

    def building(self, namespace: str) -> str:
        """Name the mark of a namespace that is being filled."""
        return f"{{{self.base}}}/building/{namespace}"

    def ready(self, namespace: str) -> str:
        """Name the mark of a namespace that is full."""
        return f"{{{self.base}}}/ready/{namespace}"

    def alive(self, namespace: str) -> str:
        """Name the sign of life of who fills a namespace."""
        return f"{{{self.base}}}/alive/{namespace}"

    def namespaces(self, names: Iterable[bytes]) -> Iterator[str]:
        """Yield the namespace of each name that is that of a mark or a fact; pass over others."""
        # From its beginning on, as a tenant's id may look like all of it.
        base = re.escape(self.base)
        form = re.compile(rf"(?:\{{{base}\}}/[a-z]+/)?({base}\.[0-9a-f]{{12}})(?:/.*)?")
        matches = (form.fullmatch(name.decode(errors="replace")) for name in names)
        return (match[1] for match in matches if match is not None)


class Moved(StoreUnavailable):
    """Other facts are in force than those that were asked.

    `to` is their namespace; None when there is none, after a flush.
    """

    def __init__(self, text: str, to: str | None) -> None:
        super().__init__(text)
        self.to = to


class LostMeanwhile(MasswatchError):
    """The store was flushed or restarted under a rebuild, which has to start over."""


class Superseded(MasswatchError):
    """Another rebuild has put its own namespace in force."""


class InForce:
    """Witness for those who write: that they have written where the facts in force lie."""

    def __init__(self, client: Redis, marks: Marks, namespace: str) -> None:
        self.before: Sequence[Command] = ()
        self.after: Sequence[Command] = (("GET", marks.pointer),)
        self._client = client
        self._namespace = namespace

    def judge(self, _before: Sequence[Any], after: Sequence[Any], /) -> None:
        """See that the pointer names the namespace.

        Raises:
            Moved: it does not.
        """
        [pointer] = after
        _raise_if_moved(self._client, self._namespace, pointer)


class Complete:
    """Witness for those who decide: that nothing is missing, from the first read to the last."""

    def __init__(self, client: Redis, marks: Marks, namespace: str) -> None:
        self.before: Sequence[Command] = (("GET", marks.pointer), ("GET", marks.ready(namespace)))
        self.after: Sequence[Command] = (*self.before, RUN)
        self._client = client
        self._namespace = namespace

    def judge(self, before: Sequence[Any], after: Sequence[Any], /) -> None:
        """See that the namespace is in force and ready, of this run of the server.

        The marks are looked at before and after, as a namespace becomes ready while it is read,
        or lost. The run cannot change under a connection: it is looked at once.

        Raises:
            Moved: another is in force.
            StoreUnavailable: it is not ready.
        """
        *_, told = after
        run = run_of(self._client, told)
        for pointer, ready in (before, after[:2]):
            _raise_if_moved(self._client, self._namespace, pointer)
            fault = fault_of(ready, run)
            if fault is not None:
                raise StoreUnavailable(
                    f"{where(self._client)}: facts are not complete ({fault}): being rebuilt"
                )


class Building:
    """Witness for a rebuild: that what it fills is still there, and still its own."""

    def __init__(
        self, client: Redis, marks: Marks, namespace: str, run: bytes, *, is_in_force: bool
    ) -> None:
        self.before: Sequence[Command] = ()
        self.after: Sequence[Command] = (
            ("GET", marks.building(namespace)),
            ("GET", marks.pointer),
            RUN,
        )
        self._client = client
        self._namespace = namespace
        self._run = run
        self._is_in_force = is_in_force

    def judge(self, _before: Sequence[Any], after: Sequence[Any], /) -> None:
        """See that the mark is there, of this run of the server.

        Raises:
            LostMeanwhile: it is not.
            Superseded: the namespace was in force and is so no more.
        """
        building, pointer, told = after
        if self._is_in_force:
            # First: who has overtaken us deletes our mark, too.
            watch_pointer(self._client, self._namespace, pointer)
        watch_over(self._client, self._run, building, told)


def fault_of(ready: bytes | None, run: bytes) -> str | None:
    """Say what is wrong with a namespace by its mark and the run of the server; None: nothing."""
    if ready is None:
        return "no rebuild of them has ended"
    if ready != run:
        return "the server was restarted, or is another"
    return None


def watch_over(client: Redis, run: bytes, mark: bytes | None, told: Any) -> None:
    """See that the mark of a rebuild is there, of this run of the server.

    Raises:
        LostMeanwhile: it is not.
    """
    if mark != run or run_of(client, told) != run:
        raise LostMeanwhile(
            f"{where(client)}: was flushed or restarted during a rebuild: start over"
        )


def watch_pointer(client: Redis, namespace: str, pointer: bytes | None) -> None:
    """See that what a rebuild has put in force still is.

    Raises:
        LostMeanwhile: nothing is.
        Superseded: another is.
    """
    if pointer is None:
        raise LostMeanwhile(f"{where(client)}: was flushed during a rebuild: start over")
    if pointer.decode() != namespace:
        raise Superseded(
            f"{where(client)}: another rebuild put {pointer.decode()} in force while "
            f"{namespace} was filled: leave it to that one"
        )


def run_of(client: Redis, told: Any) -> bytes:
    """Read which run of the server answered, and of which history.

    Raises:
        StoreUnavailable: it does not say, or is no primary.
    """
    run, history = told.get("run_id"), told.get("master_replid")
    if run is None or history is None:
        raise StoreUnavailable(
            f"{where(client)}: INFO tells no run_id or master_replid, so a restart would go "
            "unnoticed: use Redis 7 or later, or Valkey"
        )
    if told.get("role") != "master":
        raise StoreUnavailable(f"{where(client)}: is a replica: name the primary")
    return f"{run}:{history}".encode()


def time_of(client: Redis, told: Any) -> int:
    """Read which time it is for the server, in milliseconds since 1970.

    Raises:
        StoreUnavailable: it does not say.
    """
    microseconds = told.get("server_time_usec")
    if microseconds is None:
        raise StoreUnavailable(
            f"{where(client)}: INFO tells no server_time_usec: use Redis 7 or later, or Valkey"
        )
    return int(microseconds) // 1000


def _raise_if_moved(client: Redis, namespace: str, pointer: bytes | None) -> None:
    if pointer is None:
        raise Moved(
            f"{where(client)}: has no facts, it is new or was flushed: being rebuilt",
            None,
        )
    if pointer.decode() != namespace:
        raise Moved(
            f"{where(client)}: facts have moved to {pointer.decode()}: ask again there",
            pointer.decode(),
        )
