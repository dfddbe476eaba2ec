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
from pipeline.core.policy import Policy
from pipeline.doctor.broker_checks import on_broker
from pipeline.doctor.clock_checks import brokers_ahead, on_kafka_clock, on_redis_clock
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
from pipeline.doctor.unforeseen import Unforeseen, judged, outcome
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
_BROKEN: Final = "doctor itself could not look at it"
_OF_REDIS: Final = (Area.STORE, Area.PERMISSIONS, Area.CLOCK)

_Check = tuple[Area, Iterable[Finding]]
"""Findings that are made while they are iterated over, and what they are about."""
_PolicyLook = tuple[Policy | None, list[Finding]]
_KafkaLook = KafkaStanding | NotReached | Unforeseen | None
_RedisLook = RedisStanding | NotReached | Unforeseen | None


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
    servers = _Servers(settings, wrong_sections(findings))
    return ordered([*findings, *asyncio.run(servers.examined(now, workers))])


class _Servers:
    """What the settings name, but for those whose own settings are wrong: these are not asked."""

    def __init__(self, settings: Settings, wrong: frozenset[str]) -> None:
        self._settings = settings
        self._wrong = wrong
        self._plan = plan_of(settings)

    async def examined(self, now: EventTime, workers: Sequence[str]) -> Iterable[Finding]:
        now_ms = now // _TICKS_A_MILLISECOND
        policy, kafka, redis, answers = await asyncio.gather(
            outcome(asyncio.to_thread(policy_with_findings, self._settings, now)),
            outcome(self._kafka()),
            outcome(self._redis()),
            self._workers(workers),
        )
        checks = [
            (Area.POLICY, _on_policy(policy)),
            *_on_kafka(kafka, self._plan, now_ms),
            *_on_redis(redis, _brokers_ahead(kafka, self._plan, now_ms)),
            *((Area.WORKER, _on_worker(one, policy, workers)) for one in answers),
        ]
        if not answers:
            checks.append((Area.WORKER, [unchecked(Area.WORKER, "worker", _WRONG)]))
        return chain.from_iterable(await asyncio.gather(*(judged(*one) for one in checks)))

    async def _workers(self, named: Sequence[str]) -> list[WorkerStanding | Unforeseen]:
        if not named and "HTTP" in self._wrong:
            return []
        urls = named or (_url(self._settings),)
        looks = (asyncio.to_thread(look_at_worker, url) for url in urls)
        return await asyncio.gather(*map(outcome, looks))

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


def _on_policy(found: _PolicyLook | Unforeseen) -> Iterable[Finding]:
    return [found.finding(Area.POLICY)] if isinstance(found, Unforeseen) else found[1]


def _on_worker(
    found: WorkerStanding | Unforeseen, policy: _PolicyLook | Unforeseen, named: Sequence[str]
) -> Iterable[Finding]:
    if isinstance(found, Unforeseen):
        return [found.finding(Area.WORKER)]
    file = None if isinstance(policy, Unforeseen) else policy[0]
    return on_worker(found, None if file is None else file.digest, is_named=bool(named))


def _on_kafka(found: _KafkaLook, plan: Plan, now_ms: int) -> list[_Check]:
    match found:
        case None:
            return _all_unchecked((Area.BROKER, *_OF_KAFKA), "kafka", _WRONG)
        case Unforeseen():
            broken = (Area.BROKER, [found.finding(Area.BROKER)])
            return [broken, *_all_unchecked(_OF_KAFKA, "kafka", _BROKEN)]
        case NotReached():
            gone = (Area.BROKER, [away(Area.BROKER, found)])
            return [gone, *_all_unchecked(_OF_KAFKA, "kafka", _AWAY)]
        case KafkaStanding():
            return [
                (Area.BROKER, on_broker(found, plan)),
                (Area.TOPICS, on_topics(found, plan)),
                (Area.GROUPS, on_groups(found, plan)),
                (Area.LAG, on_lag(found, plan, now_ms)),
                (Area.DEAD_LETTERS, on_dead_letters(found, plan, now_ms)),
                (Area.PERMISSIONS, on_kafka_permissions(found, plan)),
                (Area.CLOCK, on_kafka_clock(found, plan, now_ms)),
            ]
        case _:
            assert_never(found)


def _on_redis(found: _RedisLook, third: timedelta | None) -> list[_Check]:
    match found:
        case None:
            return _all_unchecked((Area.REDIS, *_OF_REDIS), "redis", _WRONG)
        case Unforeseen():
            broken = (Area.REDIS, [found.finding(Area.REDIS)])
            return [broken, *_all_unchecked(_OF_REDIS, "redis", _BROKEN)]
        case NotReached():
            gone = (Area.REDIS, [away(Area.REDIS, found)])
            return [gone, *_all_unchecked(_OF_REDIS, "redis", _AWAY)]
        case RedisStanding():
            return [
                (Area.REDIS, on_redis(found)),
                (Area.PERMISSIONS, on_redis_permissions(found)),
                (Area.CLOCK, on_redis_clock(found, third)),
            ]
        case _:
            assert_never(found)


def _brokers_ahead(found: _KafkaLook, plan: Plan, now_ms: int) -> timedelta | None:
    return brokers_ahead(found, plan, now_ms) if isinstance(found, KafkaStanding) else None


def _all_unchecked(areas: Iterable[Area], server: str, why: str) -> list[_Check]:
    return [(area, [unchecked(area, server, why)]) for area in areas]
