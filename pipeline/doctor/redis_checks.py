"""Whether the store is one that facts can be kept in, and whether they are complete."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from pipeline.adapters.redis_standing import RedisStanding
from pipeline.doctor.finding import Area, Finding, Level, ok, unchecked
from pipeline.doctor.words import counted, listed, mebibytes, span

_LEAST_VERSION: Final = 7
_NOEVICTION: Final = "noeviction"
_FULL: Final = 0.95
_FILLING: Final = 0.8
_SLOW: Final = timedelta(milliseconds=20)
_FINE: Final = "ok"

Info = Mapping[str, Any]


def on_redis(found: RedisStanding) -> Iterator[Finding]:
    """Judge the server, and the facts in it."""
    server = [
        Finding(level, Area.REDIS, found.where, what, remedy)
        for check in _CHECKS
        for level, what, remedy in check(found.info)
    ]
    yield from server
    if found.round_trip > _SLOW:
        yield Finding(
            Level.WARNING,
            Area.REDIS,
            found.where,
            f"a round trip takes {span(found.round_trip)}: every batch needs some",
            "put it near the workers; look at its load (SLOWLOG, LATENCY)",
        )
    if not any(one.level in (Level.FAULT, Level.WARNING) for one in server):
        trip = f"a round trip takes {span(found.round_trip)}"
        yield ok(Area.REDIS, found.where, f"{_version(found.info)}, a primary, noeviction, {trip}")
    yield from _on_store(found)


def _on_version(info: Info) -> Iterator[tuple[Level, str, str]]:
    major = str(info.get("redis_version", "0")).partition(".")[0]
    if not major.isdecimal() or int(major) < _LEAST_VERSION:
        yield Level.FAULT, f"is {_version(info)}", "use Redis 7 or later, or Valkey"


def _on_role(info: Info) -> Iterator[tuple[Level, str, str]]:
    if info.get("role") != "master":
        yield Level.FAULT, "is a replica: facts cannot be written", "name the primary"
    if info.get("cluster_enabled"):
        yield (
            Level.WARNING,
            "is a node of a cluster: works only while this node has every slot",
            "use a primary without cluster mode",
        )


def _on_eviction(info: Info) -> Iterator[tuple[Level, str, str]]:
    policy = info.get("maxmemory_policy")
    if policy is not None and policy != _NOEVICTION:
        yield (
            Level.FAULT,
            f"maxmemory-policy is {policy}: facts are deleted in silence when memory is full",
            "set it to noeviction, then run masswatch rebuild",
        )
    if evicted := info.get("evicted_keys", 0):
        yield (
            Level.FAULT,
            f"{counted(evicted, 'key')} evicted since it started: facts may be missing",
            "set noeviction, run masswatch rebuild, then CONFIG RESETSTAT",
        )


def _on_memory(info: Info) -> Iterator[tuple[Level, str, str]]:
    used, most = info.get("used_memory", 0), info.get("maxmemory", 0)
    system = info.get("total_system_memory", 0)
    limit, name = (most, "maxmemory") if most else (system, "the machine's memory")
    if limit and used > limit * _FILLING:
        is_full = used > limit * _FULL
        yield (
            Level.FAULT if is_full else Level.WARNING,
            f"{mebibytes(used)} used of {mebibytes(limit)}, {name}: when it is full, "
            + ("writes are refused and reading waits" if most else "the kernel kills it"),
            "raise maxmemory, or shorten windows and lateness in the policy",
        )
    elif not most:
        yield (
            Level.NOTE,
            f"no maxmemory, {mebibytes(used)} used: the kernel ends it when memory is short",
            "set maxmemory below what the machine can spare: a full store waits and loses nothing",
        )


def _on_persistence(info: Info) -> Iterator[tuple[Level, str, str]]:
    if info.get("rdb_last_bgsave_status", _FINE) != _FINE:
        yield (
            Level.WARNING,
            "its last snapshot failed: writes fail, unless stop-writes-on-bgsave-error is off",
            'look at its disk and its log, or switch snapshots off (save "")',
        )
    if info.get("aof_last_write_status", _FINE) != _FINE:
        yield (
            Level.FAULT,
            "cannot append to its file: writes are refused",
            "look at its disk and its log, or switch it off (appendonly no)",
        )
    if info.get("aof_enabled") or info.get("rdb_saves"):
        yield (
            Level.NOTE,
            "keeps its data on disk: after a restart the facts are rebuilt all the same",
            "",
        )


def _on_connections(info: Info) -> Iterator[tuple[Level, str, str]]:
    if rejected := info.get("rejected_connections", 0):
        yield (
            Level.WARNING,
            f"{counted(rejected, 'connection')} rejected since it started",
            "raise maxclients, or find out who opens so many",
        )


_CHECKS: Final[tuple[Callable[[Info], Iterator[tuple[Level, str, str]]], ...]] = (
    _on_version,
    _on_role,
    _on_eviction,
    _on_memory,
    _on_persistence,
    _on_connections,
)


def _on_store(found: RedisStanding) -> Iterator[Finding]:
    where = f"facts in {found.namespace}" if found.namespace else "facts"
    if "fault" in found.untold:
        yield unchecked(Area.STORE, where, found.untold["fault"])
    elif found.fault is None:
        yield ok(Area.STORE, where, "complete")
    elif found.is_being_rebuilt:
        yield Finding(
            Level.WARNING,
            Area.STORE,
            where,
            f"{found.fault}: being rebuilt; no evaluation until it ends",
            "wait; the log of the worker of evaluations partition 0 tells how it goes",
        )
    else:
        yield Finding(
            Level.FAULT,
            Area.STORE,
            where,
            f"{found.fault}: no evaluation is made, and nobody rebuilds them",
            "start a worker, which does so by itself within seconds, or run masswatch rebuild",
        )
    yield from _on_leftovers(found)


def _on_leftovers(found: RedisStanding) -> Iterator[Finding]:
    if found.leftovers is None:
        yield unchecked(Area.STORE, "leftovers", found.untold.get("leftovers", "nothing was told"))
        return
    of_all = "" if found.leftovers.is_all else f" among {found.leftovers.looked_at:,} keys seen"
    namespaces = found.leftovers.namespaces
    if namespaces:
        yield Finding(
            Level.NOTE,
            Area.STORE,
            listed(sorted(namespaces)),
            f"{counted(sum(namespaces.values()), 'key')} left by rebuilds that ended early{of_all}",
            "nothing: they expire, and the next masswatch rebuild deletes them",
        )


def _version(info: Info) -> str:
    if valkey := info.get("valkey_version"):
        return f"Valkey {valkey}"
    return f"Redis {info.get('redis_version', 'of unknown version')}"
