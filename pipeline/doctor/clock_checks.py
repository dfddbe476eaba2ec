"""Whether the clocks agree, as far as they can be compared, and what comes of it if not.

No verdict depends on a clock: event times are compared with each other only. By a machine's clock
go `detected_at`, logs and what is said of quiet sources. By that of Redis facts expire, and a
rebuild reads what brokers have stamped since: one that is days ahead of theirs leaves facts out.
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
_BY_OURS: Final = "detected_at, logs and the freshness of sources go by this machine's"
_BY_REDIS: Final = "the life of facts and the reach of a rebuild go by Redis's"


def on_redis_clock(
    found: RedisStanding, brokers_ahead: timedelta | None = None
) -> Iterator[Finding]:
    """Compare Redis's clock with ours; which of the two is wrong, only a third one tells.

    Args:
        found: What Redis told.
        brokers_ahead: See `brokers_ahead`.
    """
    if found.ahead is None:
        yield unchecked(Area.CLOCK, found.where, "INFO tells no server_time_usec")
        return
    if abs(found.ahead) < _SHOWS:
        yield ok(Area.CLOCK, found.where, f"differs from ours by {span(abs(found.ahead))}")
        return
    level, which = Level.WARNING, f"one of the two is wrong: {_BY_OURS}, {_BY_REDIS}"
    if brokers_ahead is not None and abs(brokers_ahead) < _SHOWS:
        which = f"Redis's is wrong, the brokers agree with this machine: {_BY_REDIS}"
        if found.ahead > _HARMS:
            level, which = Level.FAULT, f"{which}, which would leave facts out"
    elif brokers_ahead is not None and abs(brokers_ahead - found.ahead) < _SHOWS:
        which = f"this machine's is wrong, the brokers agree with Redis: {_BY_OURS}"
    yield Finding(level, Area.CLOCK, found.where, f"{_differs(found.ahead)}: {which}", _CORRECT)


def on_kafka_clock(found: KafkaStanding, plan: Plan, now_ms: int) -> Iterator[Finding]:
    """Compare the newest record that a broker has stamped with our clock.

    Kafka tells no time, so a broker's clock that is behind cannot be told from quiet topics.
    """
    ahead = brokers_ahead(found, plan, now_ms)
    if ahead is None:
        why = found.untold.get("newest_ms", "Kafka tells no time, and no record has one of it")
        yield unchecked(Area.CLOCK, "brokers", why)
    elif ahead < _SHOWS:
        yield ok(Area.CLOCK, "brokers", "no record is stamped with a time that is still to come")
    else:
        yield Finding(
            Level.WARNING,
            Area.CLOCK,
            "brokers",
            f"{_differs(ahead)}: one of the two is wrong: {_BY_OURS}, the deletion of records and "
            "the reach of a rebuild by theirs",
            _CORRECT,
        )


def brokers_ahead(found: KafkaStanding, plan: Plan, now_ms: int) -> timedelta | None:
    """Return how far the newest time stamped by a broker is ahead of our clock; None: none is."""
    stamped = {
        name
        for name in plan.names
        if found.configs.get(name, {}).get("message.timestamp.type") == _OF_APPENDING
    }
    newest = max(
        (of.newest_ms or 0 for place, of in found.offsets.items() if place.topic in stamped),
        default=0,
    )
    return timedelta(milliseconds=newest - now_ms) if newest else None


def _differs(ahead: timedelta) -> str:
    return f"{span(abs(ahead))} {'ahead of' if ahead > timedelta() else 'behind'} this machine's"
