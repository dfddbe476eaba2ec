"""Everything looked at side by side, each within its time, and judged."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import chain
from typing import Final, assert_never

from pipeline.adapters.kafka_look import look_at_kafka
from pipeline.adapters.kafka_standing import KafkaStanding
from pipeline.adapters.not_reached import NotReached
from pipeline.adapters.redis_client import connect
from pipeline.adapters.redis_look import look_at_redis
from pipeline.adapters.redis_standing import RedisStanding
from pipeline.config import Settings
from pipeline.core.errors import ConfigError
from pipeline.core.event_time import EventTime
from pipeline.doctor.broker_checks import on_broker
from pipeline.doctor.clock_checks import on_kafka_clock, on_redis_clock
from pipeline.doctor.dead_letter_checks import on_dead_letters
from pipeline.doctor.finding import Area, Finding, away, ordered, unchecked
from pipeline.doctor.group_checks import on_groups
from pipeline.doctor.lag_checks import on_lag, wanted_times
from pipeline.doctor.permission_checks import on_kafka_permissions, on_redis_permissions
from pipeline.doctor.plan import Plan, plan_of
from pipeline.doctor.redis_checks import on_redis
from pipeline.doctor.settings_checks import (
    policy_with_findings,
    settings_with_findings,
    wrong_sections,
)
from pipeline.doctor.topic_checks import on_topics
from pipeline.doctor.worker_checks import WorkerStanding, look_at_worker, on_worker

KAFKA_WITHIN: Final = timedelta(seconds=10)
REDIS_WITHIN: Final = timedelta(seconds=8)

_TICKS_A_MILLISECOND: Final = 10_000
_OF_KAFKA: Final = (
    Area.TOPICS,
    Area.GROUPS,
    Area.LAG,
    Area.DEAD_LETTERS,
    Area.PERMISSIONS,
    Area.CLOCK,
)
_AWAY: Final = "it was not reached"
_WRONG: Final = "its settings are wrong"
_OF_REDIS: Final = (Area.STORE, Area.PERMISSIONS, Area.CLOCK)


def examine(now: EventTime, workers: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Examine everything, by the settings of the environment; writes nothing anywhere.

    Takes less than 15 s, whatever is away.

    Args:
        now: The time that it is.
        workers: Where workers listen: http://host:port; none: where the settings have one.
    """
    settings, findings = settings_with_findings()
    if settings is None:
        why = "the settings cannot be read"
        rest = (one for one in Area if one is not Area.SETTINGS)
        return ordered([*findings, *(unchecked(one, str(one), why) for one in rest)])
    policy, on_policy = policy_with_findings(settings, now)
    digest = None if policy is None else policy.digest
    servers = _Servers(settings, wrong_sections(findings))
    on_servers = asyncio.run(servers.examined(now, digest, workers))
    return ordered([*findings, *on_policy, *on_servers])


class _Servers:
    """What the settings name, but for those whose own settings are wrong: these are not asked."""

    def __init__(self, settings: Settings, wrong: frozenset[str]) -> None:
        self._settings = settings
        self._wrong = wrong
        self._plan = plan_of(settings)

    async def examined(
        self, now: EventTime, policy: str | None, workers: Sequence[str]
    ) -> Iterable[Finding]:
        now_ms = now // _TICKS_A_MILLISECOND
        kafka, redis, answers = await asyncio.gather(
            self._kafka(), self._redis(), self._workers(workers)
        )
        return chain(
            _on_kafka(kafka, self._plan, now_ms),
            _on_redis(redis),
            *(on_worker(one, policy, is_named=bool(workers)) for one in answers),
            () if answers else _all_unchecked((Area.WORKER,), "worker", _WRONG),
        )

    async def _workers(self, named: Sequence[str]) -> list[WorkerStanding]:
        if not named and "HTTP" in self._wrong:
            return []
        urls = named or (_url(self._settings),)
        return await asyncio.gather(*(asyncio.to_thread(look_at_worker, url) for url in urls))

    async def _kafka(self) -> KafkaStanding | NotReached | None:
        if "KAFKA" in self._wrong:
            return None
        plan = self._plan
        return await asyncio.to_thread(
            look_at_kafka,
            self._settings.kafka.client(),
            plan.names,
            plan.groups,
            wanted=lambda found: wanted_times(found, plan),
            within=KAFKA_WITHIN,
        )

    async def _redis(self) -> RedisStanding | NotReached | None:
        if "REDIS" in self._wrong:
            return None
        try:
            client = connect(**self._settings.redis.client())
        except ConfigError as error:
            return NotReached.of(error)
        try:
            return await look_at_redis(client, self._settings.redis.namespace, within=REDIS_WITHIN)
        finally:
            await client.aclose()


def _url(settings: Settings) -> str:
    host = settings.http.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http.port}"


def _on_kafka(
    found: KafkaStanding | NotReached | None, plan: Plan, now_ms: int
) -> Iterable[Finding]:
    match found:
        case None:
            return _all_unchecked((Area.BROKER, *_OF_KAFKA), "kafka", _WRONG)
        case NotReached():
            return [away(Area.BROKER, found), *_all_unchecked(_OF_KAFKA, "kafka", _AWAY)]
        case KafkaStanding():
            return chain(
                on_broker(found, plan),
                on_topics(found, plan),
                on_groups(found, plan),
                on_lag(found, plan, now_ms),
                on_dead_letters(found, plan, now_ms),
                on_kafka_permissions(found, plan),
                on_kafka_clock(found, plan, now_ms),
            )
        case _:
            assert_never(found)


def _on_redis(found: RedisStanding | NotReached | None) -> Iterable[Finding]:
    match found:
        case None:
            return _all_unchecked((Area.REDIS, *_OF_REDIS), "redis", _WRONG)
        case NotReached():
            return [away(Area.REDIS, found), *_all_unchecked(_OF_REDIS, "redis", _AWAY)]
        case RedisStanding():
            return chain(on_redis(found), on_redis_permissions(found), on_redis_clock(found))
        case _:
            assert_never(found)


def _all_unchecked(areas: Iterable[Area], server: str, why: str) -> list[Finding]:
    return [unchecked(area, server, why) for area in areas]
