"""Whether our user may do what a worker does, as far as it can be learned without doing it."""

from collections.abc import Iterator
from typing import Final

from pipeline.adapters.kafka_standing import KafkaStanding
from pipeline.adapters.redis_standing import RedisStanding
from pipeline.doctor.finding import Area, Finding, Level, ok, unchecked
from pipeline.doctor.plan import Plan
from pipeline.doctor.words import listed
from topics.catalogue import ALERTS, EVALUATIONS

_READ: Final = "READ"
_WRITE: Final = "WRITE"
_PRIVILEGES: Final = "see the README's least privileges"


def on_kafka_permissions(found: KafkaStanding, plan: Plan) -> Iterator[Finding]:
    """Judge what our user may do to topics."""
    needed = {
        **dict.fromkeys(plan.sources, (_READ,)),
        **dict.fromkeys(plan.dead_letters, (_WRITE,)),
        EVALUATIONS: (_READ, _WRITE),
        ALERTS: (_READ, _WRITE),
    }
    lacking = False
    untold: list[str] = []
    for name, topic in found.topics.items():
        if topic.operations is None:
            untold.append(name)
            continue
        lacks = [one for one in needed.get(name, ()) if one not in topic.operations]
        if lacks:
            lacking = True
            yield Finding(
                Level.FAULT,
                Area.PERMISSIONS,
                f"topic {name}",
                f"this user may not {' and '.join(lacks)}",
                _PRIVILEGES,
            )
    if untold:
        yield unchecked(
            Area.PERMISSIONS,
            listed(untold),
            "the broker does not say what this user may do",
            _PRIVILEGES,
        )
    if found.topics and not lacking and not untold:
        yield ok(
            Area.PERMISSIONS, "kafka topics", "this user may read and write what a worker does"
        )
    if found.settings.get("authorizer.class.name", "unknown"):
        yield unchecked(
            Area.PERMISSIONS,
            "groups and transactional ids",
            "Kafka tells only whoever joins a group or opens a transaction, which would disturb "
            "workers",
            _PRIVILEGES,
        )


def on_redis_permissions(found: RedisStanding) -> Iterator[Finding]:
    """Judge what our user may do to the store."""
    lacks = found.lacks
    if lacks is None:
        return
    for name, said in lacks.commands.items():
        yield Finding(
            Level.FAULT,
            Area.PERMISSIONS,
            f"{found.where}: {name}",
            said,
            f"extend the user's ACL: {_PRIVILEGES}",
        )
    if lacks.unknown:
        yield unchecked(
            Area.PERMISSIONS,
            f"{found.where}: {listed(lacks.unknown)}",
            lacks.why,
            "run masswatch doctor once as a user with +acl|whoami and +acl|dryrun on it",
        )
    elif not lacks.commands:
        who = f"user {lacks.user}" if lacks.user else "this user"
        yield ok(Area.PERMISSIONS, found.where, f"{who} may do what a worker does")
