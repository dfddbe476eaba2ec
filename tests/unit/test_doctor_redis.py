from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.adapters.redis_marks import Marks
from pipeline.adapters.redis_standing import Lacks, Leftovers, RedisStanding
from pipeline.doctor.clock_checks import on_redis_clock
from pipeline.doctor.finding import Area, Finding, Level
from pipeline.doctor.permission_checks import on_redis_permissions
from pipeline.doctor.redis_checks import on_redis

INFO: dict[str, Any] = {
    "redis_version": "7.2.4",
    "role": "master",
    "cluster_enabled": 0,
    "maxmemory": 1000,
    "maxmemory_policy": "noeviction",
    "used_memory": 800,
    "total_system_memory": 10_000,
    "evicted_keys": 0,
    "rejected_connections": 0,
    "rdb_last_bgsave_status": "ok",
    "rdb_saves": 0,
    "aof_enabled": 0,
    "aof_last_write_status": "ok",
}
SERVER = RedisStanding(
    where="redis r:6379",
    info=INFO,
    round_trip=timedelta(milliseconds=20),
    ahead=timedelta(milliseconds=3),
    namespace="mw1.0123456789ab",
    fault=None,
    is_being_rebuilt=False,
    lacks=Lacks("worker", {}),
    leftovers=Leftovers({}, 100, is_all=True),
    untold={},
)


def examined(found: RedisStanding) -> list[Finding]:
    return [*on_redis(found), *on_redis_permissions(found), *on_redis_clock(found)]


def wrong(found: RedisStanding) -> list[Finding]:
    return [one for one in examined(found) if one.level is not Level.OK]


def only(found: RedisStanding) -> Finding:
    [one] = wrong(found)
    return one


def with_info(**info: Any) -> RedisStanding:
    return replace(SERVER, info={**INFO, **info})


def test_a_server_where_all_is_well_says_so_of_every_area() -> None:
    found = examined(SERVER)

    assert [(one.level, one.area) for one in found] == [
        (Level.OK, area) for area in (Area.REDIS, Area.STORE, Area.PERMISSIONS, Area.CLOCK)
    ]
    assert found[0].what == "Redis 7.2.4, a primary, noeviction, a round trip takes 20 ms"


@pytest.mark.parametrize(
    ("info", "level", "says"),
    [
        ({"redis_version": "6.2.14"}, Level.FAULT, "is Redis 6.2.14"),
        ({"role": "slave"}, Level.FAULT, "is a replica"),
        ({"cluster_enabled": 1}, Level.WARNING, "node of a cluster"),
        ({"maxmemory_policy": "volatile-lru"}, Level.FAULT, "maxmemory-policy is volatile-lru"),
        ({"evicted_keys": 7}, Level.FAULT, "7 keys evicted"),
        ({"used_memory": 801}, Level.WARNING, "writes are refused"),
        ({"used_memory": 951}, Level.FAULT, "writes are refused"),
        ({"maxmemory": 0}, Level.NOTE, "no maxmemory"),
        ({"maxmemory": 0, "used_memory": 8_001}, Level.WARNING, "the kernel kills it"),
        ({"rdb_last_bgsave_status": "err"}, Level.WARNING, "last snapshot failed"),
        ({"aof_last_write_status": "err"}, Level.FAULT, "writes are refused"),
        ({"aof_enabled": 1}, Level.NOTE, "rebuilt all the same"),
        ({"rejected_connections": 1}, Level.WARNING, "1 connection rejected"),
    ],
)
def test_what_is_wrong_with_the_server_is_told(
    info: dict[str, Any], level: Level, says: str
) -> None:
    found = only(with_info(**info))

    assert (found.level, found.area, found.where) == (level, Area.REDIS, SERVER.where)
    assert says in found.what


def test_a_valkey_is_named_by_its_own_version() -> None:
    assert "Valkey 9.1.2" in examined(with_info(valkey_version="9.1.2"))[0].what


def test_slow_round_trips_are_a_warning() -> None:
    found = only(replace(SERVER, round_trip=timedelta(milliseconds=21)))

    assert (found.level, found.area) == (Level.WARNING, Area.REDIS)


@pytest.mark.parametrize(
    ("is_being_rebuilt", "level"), [(True, Level.WARNING), (False, Level.FAULT)]
)
def test_facts_that_are_not_complete_are_a_fault_unless_somebody_rebuilds_them(
    is_being_rebuilt: bool, level: Level
) -> None:
    lost = replace(SERVER, fault="no facts: flushed", is_being_rebuilt=is_being_rebuilt)

    found = only(lost)

    assert (found.level, found.area) == (level, Area.STORE)
    assert found.what.startswith("no facts: flushed")


def test_facts_that_could_not_be_asked_for_are_not_said_to_be_complete() -> None:
    found = examined(replace(SERVER, untold={"fault": "forbidden"}))

    assert [one.level for one in found if one.area is Area.STORE] == [Level.NOT_CHECKED]


def test_what_rebuilds_have_left_is_a_note() -> None:
    left = Leftovers({"mw1.aaaaaaaaaaaa": 5, "mw1.bbbbbbbbbbbb": 1}, 1000, is_all=False)

    found = only(replace(SERVER, leftovers=left))

    assert (found.level, found.where) == (Level.NOTE, "mw1.aaaaaaaaaaaa, mw1.bbbbbbbbbbbb")
    assert found.what == "6 keys left by rebuilds that ended early among 1,000 keys seen"


def test_a_command_that_is_refused_is_a_fault() -> None:
    found = only(replace(SERVER, lacks=Lacks("worker", {"SADD": "no permissions"})))

    assert (found.level, found.area, found.where) == (
        Level.FAULT,
        Area.PERMISSIONS,
        "redis r:6379: SADD",
    )


def test_commands_that_could_not_be_asked_for_are_not_checked() -> None:
    found = only(replace(SERVER, lacks=Lacks(None, {}, ("SADD",), "may not ask")))

    assert (found.level, found.what) == (Level.NOT_CHECKED, "may not ask")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("off", "level"),
    [
        (timedelta(seconds=59), None),
        (timedelta(seconds=60), Level.WARNING),
        (timedelta(days=2), Level.WARNING),
    ],
)
def test_of_two_clocks_that_differ_it_is_not_known_which_is_wrong(
    sign: int, off: timedelta, level: Level | None
) -> None:
    found = wrong(replace(SERVER, ahead=sign * off))

    assert [(one.level, one.area) for one in found] == (
        [] if level is None else [(level, Area.CLOCK)]
    )
    assert all(("ahead of" in one.what) == (sign > 0) for one in found)
    assert all("one of the two is wrong" in one.what for one in found)


DAYS = timedelta(days=2)
MOMENT = timedelta(seconds=59)
LONG_AGO = timedelta(days=-30)


@pytest.mark.parametrize(
    ("ahead", "brokers", "level", "says"),
    [
        (DAYS, MOMENT, Level.FAULT, "Redis's is wrong"),
        (-DAYS, -MOMENT, Level.WARNING, "Redis's is wrong"),
        (DAYS, DAYS - MOMENT, Level.WARNING, "this machine's is wrong"),
        (-DAYS, -DAYS - MOMENT, Level.WARNING, "this machine's is wrong"),
        (DAYS, LONG_AGO, Level.WARNING, "one of the two is wrong"),
    ],
)
def test_the_brokers_tell_which_of_two_clocks_is_wrong(
    ahead: timedelta, brokers: timedelta, level: Level, says: str
) -> None:
    [found] = on_redis_clock(replace(SERVER, ahead=ahead), brokers)

    assert found.level is level
    assert says in found.what


def test_a_server_that_tells_no_time_is_not_checked() -> None:
    assert only(replace(SERVER, ahead=None)).level is Level.NOT_CHECKED


def test_a_namespace_is_read_from_marks_and_facts_and_never_from_the_id_of_a_tenant() -> None:
    names = [
        b"{mw1}/ready/mw1.aaaaaaaaaaaa",
        b"mw1.bbbbbbbbbbbb/v/mw1.cccccccccccc/1",
        b"{mw1}/pointer",
        b"mw1/v/mw1.dddddddddddd/1",
        b"mw1.eeeeeeeeeeeee/v/a/1",
        b"mw1.short/v/mw1.ffffffffffff/1",
        b"other.mw1.000000000000/v/a/1",
        b"mw1x111111111111/v/a/1",
        b"\xff",
    ]

    assert list(Marks("mw1").namespaces(names)) == ["mw1.aaaaaaaaaaaa", "mw1.bbbbbbbbbbbb"]
