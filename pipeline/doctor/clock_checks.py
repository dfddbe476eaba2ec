"""Whether the clocks agree, as far as they can be compared, and what comes of it if not.

No verdict depends on a clock: event times are compared with each other only. A clock that is wrong
makes wrong `detected_at` and log times. One that is wrong by days lets facts expire early, or a
rebuild begin too late: it reads back from our clock to when facts expire, and three days more.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from pipeline.adapters.kafka_standing import KafkaStanding
from pipeline.adapters.redis_facts import TOLERATED_LAG
from pipeline.adapters.redis_standing import RedisStanding
from pipeline.doctor.finding import Area, Finding, Level, ok, unchecked
from pipeline.doctor.plan import Plan
from pipeline.doctor.words import span

_SHOWS: Final = timedelta(seconds=60)
_HARMS: Final = TOLERATED_LAG / 2
_CORRECT: Final = "have all machines ask the same time servers (NTP)"
_OF_APPENDING: Final = "LogAppendTime"


def on_redis_clock(found: RedisStanding) -> Iterator[Finding]:
    """Compare Redis's clock with ours."""
    if found.ahead is None:
        yield unchecked(Area.CLOCK, found.where, "INFO tells no server_time_usec")
    elif abs(found.ahead) < _SHOWS:
        yield ok(Area.CLOCK, found.where, f"differs from ours by {span(abs(found.ahead))}")
    else:
        yield _wrong(found.where, found.ahead)


def on_kafka_clock(found: KafkaStanding, plan: Plan, now_ms: int) -> Iterator[Finding]:
    """Compare the newest record that a broker has stamped with our clock.

    Kafka tells no time, so a broker's clock that is behind cannot be told from quiet topics.
    """
    stamped = {
        name
        for name in plan.names
        if found.configs.get(name, {}).get("message.timestamp.type") == _OF_APPENDING
    }
    newest = max(
        (of.newest_ms or 0 for place, of in found.offsets.items() if place.topic in stamped),
        default=0,
    )
    ahead = timedelta(milliseconds=newest - now_ms)
    if not newest:
        yield unchecked(Area.CLOCK, "brokers", "Kafka tells no time, and no record has one of it")
    elif ahead < _SHOWS:
        yield ok(Area.CLOCK, "brokers", "no record is stamped with a time that is still to come")
    else:
        yield _wrong("brokers", ahead)


def _wrong(where: str, ahead: timedelta) -> Finding:
    direction = "ahead of" if ahead > timedelta() else "behind"
    harm = (
        "facts expire, or a rebuild begins, at the wrong time"
        if abs(ahead) > _HARMS
        else "no verdict depends on it; detected_at, logs and certificates do"
    )
    return Finding(
        Level.FAULT if abs(ahead) > _HARMS else Level.WARNING,
        Area.CLOCK,
        where,
        f"{span(abs(ahead))} {direction} this machine: {harm}",
        _CORRECT,
    )
