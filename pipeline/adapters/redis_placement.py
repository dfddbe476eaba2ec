"""Which namespace of Redis holds the facts in force: read, filled and put there."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from pipeline.adapters.redis_client import unavailable
from pipeline.adapters.redis_facts import NAMES_AT_ONCE, RedisFacts
from pipeline.adapters.redis_keys import Names
from pipeline.adapters.redis_latest import KnownLatest
from pipeline.adapters.redis_marks import (
    RUN,
    Building,
    Complete,
    InForce,
    Marks,
    fault_of,
    run_of,
    time_of,
    watch_over,
    watch_pointer,
)
from pipeline.adapters.redis_pipelines import call
from pipeline.core.window import Windows

ALIVE_FOR: Final = timedelta(seconds=15)
"""How long after its last sign of life a rebuild counts as alive."""

_NO_SUCH_KEY: Final = "no such key"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the facts in force stand.

    `fault` says why they cannot be trusted, None when they can; `is_being_rebuilt` tells whether
    somebody alive is about it.
    """

    namespace: str | None
    fault: str | None
    is_being_rebuilt: bool

    @property
    def is_ready(self) -> bool:
        """Whether all facts are there."""
        return self.fault is None


class Placement:
    """The marks on one server, read and set.

    Args:
        client: A client that returns bytes.
        base: What the operator calls the namespace: the namespaces of facts begin with it.
    """

    def __init__(self, client: Redis, base: str) -> None:
        self.client = client
        self.marks = Marks(base)
        self._base = Names(base).namespace

    async def look(self) -> Standing:
        """Look how the facts in force stand.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        namespace = await self.pointer()
        if namespace is None:
            return Standing(None, "no facts: new or flushed", is_being_rebuilt=False)
        marks = (self.marks.ready, self.marks.building, self.marks.alive)
        ready, building, alive, told = await call(
            self.client, [*(("GET", mark(namespace)) for mark in marks), RUN]
        )
        run = run_of(self.client, told)
        fault = fault_of(ready, run)
        return Standing(namespace, fault, is_being_rebuilt=building == run and alive is not None)

    async def pointer(self) -> str | None:
        """Return the namespace of the facts in force; None: there is none.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        [named] = await call(self.client, [("GET", self.marks.pointer)])
        return None if named is None else str(named.decode())

    async def begin(self, token: str, windows: Windows) -> "Site":
        """Mark a new namespace as being built; nobody else looks at it yet.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        namespace = f"{self._base}.{token}"
        [told] = await call(self.client, [RUN])
        run, began_ms = run_of(self.client, told), time_of(self.client, told)
        site = Site(self, namespace, run, began_ms, windows)
        await site.sign_of_life()
        await call(self.client, [("SET", self.marks.building(namespace), site.run)])
        return site

    async def forget(self, namespace: str) -> int:
        """Delete a namespace with its marks; return how many keys it had.

        Raises:
            StoreUnavailable: the server does not answer; what is left expires.
        """
        marks = (self.marks.ready, self.marks.building, self.marks.alive)
        await call(self.client, [("DEL", mark(namespace)) for mark in marks])
        cursor, deleted = 0, 0
        scan = ("MATCH", f"{namespace}/*", "COUNT", NAMES_AT_ONCE)
        while True:
            [(cursor, names)] = await call(self.client, [("SCAN", cursor, *scan)])
            await call(self.client, [("UNLINK", name) for name in names])
            deleted += len(names)
            if not cursor:
                return deleted

    async def sweep(self) -> int:
        """Delete what rebuilds that ended before their end have left; return how many keys.

        Namespaces that are in force, or that somebody alive fills, stay.

        Raises:
            StoreUnavailable: the server does not answer; what is left is swept the next time.
        """
        found = await self._namespaces()
        deleted = 0
        for namespace in sorted(found):
            pointer, alive = await call(
                self.client, [("GET", self.marks.pointer), ("GET", self.marks.alive(namespace))]
            )
            if alive is None and (pointer is None or pointer.decode() != namespace):
                deleted += await self.forget(namespace)
        return deleted

    async def _namespaces(self) -> set[str]:
        """Return every namespace of facts of which a key or a mark is there."""
        marks = self.marks.pointer.removesuffix("pointer")
        found: set[str] = set()
        for pattern in (f"{self._base}.*", f"{marks}*"):
            cursor = 0
            while True:
                scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", NAMES_AT_ONCE)
                [(cursor, names)] = await call(self.client, [scan])
                found.update(self.marks.namespaces(names))
                if not cursor:
                    break
        return found

    def in_force(self, namespace: str) -> InForce:
        """Return the witness that a namespace is in force after each round trip."""
        return InForce(self.client, self.marks, namespace)

    def complete(self, namespace: str) -> Complete:
        """Return the witness that a namespace is in force and complete all the time."""
        return Complete(self.client, self.marks, namespace)

    async def close(self) -> None:
        """Close the client."""
        await self.client.aclose()


class Site:
    """A namespace that a rebuild fills, from its beginning to its being ready.

    `began_ms` is the beginning by the server's clock, which ends the life of facts; that of the
    machine which rebuilds may be wrong.
    """

    def __init__(
        self, placement: Placement, namespace: str, run: bytes, began_ms: int, windows: Windows
    ) -> None:
        self.namespace = namespace
        self.run = run
        self.began_ms = began_ms
        self._placement = placement
        self._windows = windows
        self._known = KnownLatest()
        self.is_in_force = False

    @property
    def facts(self) -> RedisFacts:
        """The store to fill; its calls raise `LostMeanwhile` and `Superseded`, too."""
        placement = self._placement
        watch = Building(
            placement.client,
            placement.marks,
            self.namespace,
            self.run,
            is_in_force=self.is_in_force,
        )
        return RedisFacts(placement.client, self.namespace, self._windows, watch, self._known)

    async def sign_of_life(self) -> None:
        """Say that whoever fills the namespace is alive.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        alive = self._placement.marks.alive(self.namespace)
        await call(
            self._placement.client,
            [("SET", alive, self.run, "PX", ALIVE_FOR // timedelta(milliseconds=1))],
        )

    async def last_sign_of_life(self) -> None:
        """Say that nobody fills the namespace any more.

        Raises:
            StoreUnavailable: the server does not answer; the last sign lapses.
        """
        alive = self._placement.marks.alive(self.namespace)
        await call(self._placement.client, [("DEL", alive)])

    async def put_in_force(self) -> str | None:
        """Let agents write to the namespace, and evaluators wait for it.

        Returns:
            The namespace that was in force before.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        client, pointer = self._placement.client, self._placement.marks.pointer
        try:
            reply = await client.set(pointer, self.namespace, get=True)
        except RedisError as error:
            raise unavailable(client, error) from error
        self.is_in_force = True
        former = cast("bytes | None", reply)
        # A command that was sent again, because its reply was lost, finds its own work.
        if former is None or former.decode() == self.namespace:
            return None
        return former.decode()

    async def finish(self) -> None:
        """Mark the namespace as ready.

        Raises:
            LostMeanwhile: the server was flushed or restarted since `begin`.
            Superseded: it is ready, but another is in force.
            StoreUnavailable: the server does not answer.
        """
        client, marks = self._placement.client, self._placement.marks
        try:
            await client.rename(marks.building(self.namespace), marks.ready(self.namespace))
        except ResponseError as error:
            # Flushed, or renamed before by a command whose reply was lost: seen below.
            if _NO_SUCH_KEY not in str(error).lower():
                raise unavailable(client, error) from error
        except RedisError as error:
            raise unavailable(client, error) from error
        ready, pointer, told = await call(
            client, [("GET", marks.ready(self.namespace)), ("GET", marks.pointer), RUN]
        )
        watch_pointer(client, self.namespace, pointer)
        watch_over(client, self.run, ready, told)
