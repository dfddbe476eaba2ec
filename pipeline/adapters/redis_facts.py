"""`FactStore` in Redis: hashes and sets of packed fields, spoken to in pipelines."""

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

from redis.asyncio import Redis

from pipeline.adapters.packing import (
    Entry,
    pack,
    pack_entry,
    pack_name,
    unpack,
    unpack_entry,
    unpack_name,
)
from pipeline.adapters.redis_client import where
from pipeline.adapters.redis_keys import Names, bucket_of
from pipeline.adapters.redis_latest import KINDS, KnownLatest, LatestOfTenants, latest_in
from pipeline.adapters.redis_pipelines import Command, Witness, call
from pipeline.core.errors import StoreUnavailable
from pipeline.core.event_time import EventTime
from pipeline.core.evidence import Key, KeyKind, keys_of, window_of
from pipeline.core.model import (
    Assignment,
    AssignmentId,
    Evidence,
    Fact,
    Seen,
)
from pipeline.core.window import Window, Windows
from pipeline.ports import Dossier, Latest

TOLERATED_LAG: Final = timedelta(days=3)
"""How far a reader may be behind before a fact expires that it still needs."""

NAMES_AT_ONCE: Final = 1_000
"""How many keys a step of a scan looks at."""

_FIELDS_A_TURN: Final = 500
"""Unpacked before others get a turn of the loop: heartbeats run on it, too."""

_Unpacked = TypeVar("_Unpacked")


class RedisFacts:
    """Facts in one namespace of one Redis, or compatible, primary.

    Evidence lies whole under each of its keys; assignments lie once, with an index under each of
    their keys. Every key holds the event times of one bucket and expires when it was not written
    for the retention of the policy and the tolerated lag. There are single-key commands only.

    Args:
        client: A client that returns bytes; `close` closes it.
        namespace: What keeps this store apart from others on the server.
        windows: The windows of the policy.
        witness: Who looks at the server in every round trip.
        known: What is known of the latest facts in this namespace, kept from store to store.
    """

    def __init__(
        self,
        client: Redis,
        namespace: str,
        windows: Windows,
        witness: Witness | None = None,
        known: KnownLatest | None = None,
    ) -> None:
        self._client = client
        self._witness = witness
        self._names = Names(namespace)
        self._windows = windows
        self._kept_for = math.ceil((windows.retention + TOLERATED_LAG).total_seconds())
        self._latest = LatestOfTenants(
            self._names, self._kept_for, KnownLatest() if known is None else known
        )

    async def add(self, facts: Sequence[Seen[Fact]]) -> None:
        """Keep the facts, in one round trip, seldom two. See `FactStore`."""
        commands = self._writes(facts)
        latest = self._latest.of(facts)
        swaps = self._latest.writes(latest)
        replies = await self._call([*commands, *swaps])
        self._check(commands, replies[: len(commands)])
        replies = replies[len(commands) :]
        while latest := self._to_put_back(swaps, replies, latest):
            swaps = self._latest.swaps(latest)
            replies = await self._call(swaps)

    def _to_put_back(
        self, swaps: Sequence[Command], replies: Sequence[Any], latest: Mapping[str, EventTime]
    ) -> dict[str, EventTime]:
        [later] = self._readable(
            self._latest.to_put_back(*one) for one in [(swaps, replies, latest)]
        )
        return later

    def _check(self, commands: Sequence[Command], replies: Sequence[Any]) -> None:
        # Of a key's two renewals the last one stays: the first finds nothing when the key is new.
        renewed = {
            command[1]: reply
            for command, reply in zip(commands, replies, strict=True)
            if command[0] == "EXPIRE"
        }
        if not all(renewed.values()):
            raise StoreUnavailable(
                f"{where(self._client)}: a key was gone as soon as it was written: "
                "find out who flushes or evicts, then write again"
            )

    async def touched(self, facts: Sequence[Fact]) -> frozenset[AssignmentId]:
        """Return the assignments that the facts touch, in at most three round trips.

        What is found is written once more, which renews it under all of its keys; the facts
        themselves have just been. See `FactStore`.
        """
        found: set[AssignmentId] = set()
        written: dict[AssignmentId, set[Fact]] = defaultdict(set)
        asked: dict[str, list[tuple[str, EventTime, EventTime]]] = defaultdict(list)
        for fact in facts:
            if isinstance(fact, Assignment):
                found.add(fact.id)
                written[fact.id].add(fact)
                continue
            first, last = _mirrored(fact, self._windows).around(fact.event_time)
            for key in keys_of(fact):
                for bucket in _buckets(first, last):
                    name = self._names.index(fact.tenant_id, key, bucket)
                    asked[name].append((fact.tenant_id, first, last))
        replies = await self._call([("SMEMBERS", name) for name in asked])
        for spans, members in zip(asked.values(), replies, strict=True):
            for entry in self._readable(map(unpack_entry, members)):
                found |= {
                    AssignmentId(tenant_id, entry.audit_event_id)
                    for tenant_id, first, last in spans
                    if first <= entry.event_time <= last
                }
        others: list[Seen[Fact]] = []
        for of, fields in await self._variant_hashes(found):
            ours = written.get(of, set())
            if len(fields) > len(ours):
                others += [one for one in self._variants_in(fields, of) if one.fact not in ours]
        await self.add(others)
        return frozenset(found)

    async def dossiers(self, ids: Sequence[AssignmentId]) -> list[Dossier]:
        """Return what is known of assignments, in two round trips. See `FactStore`."""
        variants = await self._variants(ids)
        wanted = {of: dict(self._evidence_of(seen)) for of, seen in variants.items()}
        all_wanted = {
            name: (of.tenant_id, key.text)
            for of, names in wanted.items()
            for name, key in names.items()
        }
        tenants = list(dict.fromkeys(of.tenant_id for of, seen in variants.items() if seen))
        asked = [("HGETALL", name) for name in all_wanted]
        replies = await self._call([*asked, *self._latest.reads(tenants)])
        latest = self._latest_in(tenants, replies[len(asked) :])
        held: dict[str, list[Seen[Evidence]]] = {}
        unpacked = 0
        of_keys = zip(all_wanted.items(), replies[: len(asked)], strict=True)
        for (name, (tenant_id, near)), fields in of_keys:
            held[name] = _evidence(self._readable(unpack(fields, tenant_id, near)))
            unpacked += len(fields)
            if unpacked > _FIELDS_A_TURN:
                await asyncio.sleep(0)
                unpacked = 0
        return [
            Dossier(
                id=of,
                variants=tuple(variants[of]),
                evidence=_merged(one for name in wanted[of] for one in held[name]),
                latest=latest.get(of.tenant_id, Latest()),
            )
            for of in ids
        ]

    async def assignments(self) -> AsyncIterator[AssignmentId]:
        """Iterate over every assignment stored, by scanning the server. See `FactStore`."""
        async for name in self._scanned(self._names.all_variants):
            of = self._names.assignment_of(name.decode())
            if of is None:
                [fields] = await self._call([("HGETALL", name)])
                [of] = self._readable([unpack_name(fields)])
            if of is not None:  # neither half written nor expired since
                yield of

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()

    def _writes(self, facts: Iterable[Seen[Fact]]) -> list[Command]:
        hashes: dict[str, dict[bytes, bytes]] = defaultdict(dict)
        index: dict[str, dict[bytes, None]] = defaultdict(dict)
        for seen in facts:
            fact, bucket = seen.fact, bucket_of(seen.fact.event_time)
            if isinstance(fact, Assignment):
                for field, position in self._variant_fields(seen, fact.id).items():
                    hashes[self._names.variants(fact.id)].setdefault(field, position)
                entry = pack_entry(Entry(fact.event_time, fact.audit_event_id))
                for key in keys_of(fact):
                    index[self._names.index(fact.tenant_id, key, bucket)][entry] = None
            else:
                for key in keys_of(fact):
                    fields = hashes[self._names.evidence(fact.tenant_id, key, bucket)]
                    for field, position in pack(seen, key.text).items():
                        fields.setdefault(field, position)
        commands: list[Command] = []
        for name, fields in hashes.items():
            commands += self._renewed(name, [("HSETNX", name, *item) for item in fields.items()])
        # After the variants, so that whoever finds an assignment in the index can read it.
        for name, entries in index.items():
            commands += self._renewed(name, [("SADD", name, *entries)])
        return commands

    def _renewed(self, name: str, writes: Sequence[Command]) -> list[Command]:
        """Renew the life of a key, and before several writes, too: it cannot end between them.

        When it ends after the only one, the renewal finds nothing, which `_check` sees.
        """
        renewal = ("EXPIRE", name, self._kept_for)
        return [*([renewal] if len(writes) > 1 else ()), *writes, renewal]

    def _variant_fields(self, seen: Seen[Fact], of: AssignmentId) -> dict[bytes, bytes]:
        fields = pack(seen, _near(of))
        if self._names.assignment_of(self._names.variants(of)) is None:
            return pack_name(of) | fields
        return fields

    async def _variants(
        self, ids: Iterable[AssignmentId]
    ) -> dict[AssignmentId, list[Seen[Assignment]]]:
        hashes = await self._variant_hashes(dict.fromkeys(ids))
        return {of: list(self._variants_in(fields, of)) for of, fields in hashes}

    async def _variant_hashes(
        self, ids: Collection[AssignmentId]
    ) -> Iterator[tuple[AssignmentId, Mapping[bytes, bytes]]]:
        replies = await self._call([("HGETALL", self._names.variants(of)) for of in ids])
        return zip(ids, replies, strict=True)

    def _variants_in(
        self, fields: Mapping[bytes, bytes], of: AssignmentId
    ) -> Iterator[Seen[Assignment]]:
        for seen in self._readable(unpack(fields, of.tenant_id, _near(of))):
            if isinstance(seen.fact, Assignment):
                yield cast("Seen[Assignment]", seen)

    def _latest_in(
        self, tenants: Sequence[str], replies: Sequence[bytes | None]
    ) -> dict[str, Latest]:
        step = len(KINDS)
        read = (latest_in(replies[step * one : step * (one + 1)]) for one in range(len(tenants)))
        return dict(zip(tenants, self._readable(read), strict=True))

    def _evidence_of(self, variants: Iterable[Seen[Assignment]]) -> Iterator[tuple[str, Key]]:
        """Name where evidence of the variants may lie."""
        for seen in variants:
            for key in keys_of(seen.fact):
                is_request = key.kind is KeyKind.REQUEST
                window = self._windows.graph if is_request else self._windows.evidence
                for bucket in _buckets(*window.around(seen.fact.event_time)):
                    yield self._names.evidence(seen.fact.tenant_id, key, bucket), key

    async def _scanned(self, pattern: str) -> AsyncIterator[bytes]:
        """Iterate over the names of keys, each page of which comes from one run of the server.

        A cursor means something else after a restart, which then would hide keys.
        """
        cursor, runs = 0, set[object]()
        scan = ("MATCH", pattern, "COUNT", NAMES_AT_ONCE)
        while True:
            told, (cursor, names) = await self._call([("INFO", "server"), ("SCAN", cursor, *scan)])
            runs.add(told.get("run_id"))
            if None in runs:
                raise StoreUnavailable(
                    f"{where(self._client)}: INFO tells no run_id, so a restart would hide "
                    "assignments: use Redis or Valkey"
                )
            if len(runs) > 1:
                raise StoreUnavailable(
                    f"{where(self._client)}: was restarted during a scan: scan again"
                )
            for name in names:
                yield name
            if not cursor:
                return

    async def _call(self, commands: Iterable[Command]) -> list[Any]:
        """Send commands and return their replies, none of which is an error."""
        return await call(self._client, commands, self._witness)

    def _readable(self, unpacked: Iterable[_Unpacked]) -> Iterator[_Unpacked]:
        try:
            yield from unpacked
        except ValueError as error:
            raise StoreUnavailable(
                f"{where(self._client)}: {self._names.namespace}: holds what this version cannot "
                f"read ({error}): rebuild into another namespace"
            ) from error


def _near(of: AssignmentId) -> str:
    return of.audit_event_id.lower()


def _mirrored(fact: Evidence, windows: Windows) -> Window:
    return window_of(fact, windows).mirrored()


def _buckets(first: EventTime, last: EventTime) -> range:
    return range(bucket_of(first), bucket_of(last) + 1)


def _evidence(facts: Iterable[Seen[Fact]]) -> list[Seen[Evidence]]:
    return [cast("Seen[Evidence]", seen) for seen in facts if not isinstance(seen.fact, Assignment)]


def _merged(facts: Iterable[Seen[Evidence]]) -> tuple[Seen[Evidence], ...]:
    """Leave each fact once; of several positions the smallest, which every reader agrees on."""
    merged: dict[Evidence, Seen[Evidence]] = {}
    for seen in facts:
        known = merged.get(seen.fact)
        if known is None or seen.position < known.position:
            merged[seen.fact] = seen
    return tuple(merged.values())
