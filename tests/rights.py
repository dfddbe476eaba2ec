"""The least that each role must be allowed in Kafka and Redis, as the README has it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from topics.catalogue import ALERTS, EVALUATIONS, Sources, dlq_of

REPLAYED: Final = "again."
"""What the names of the topics begin with that the replaying role may write."""


@dataclass(frozen=True)
class Role:
    """Who runs which commands, and what it may do there.

    `kafka` is operations, a colon, and on what; more of the kind after a semicolon.
    """

    name: str
    commands: str
    kafka: str

    @property
    def row(self) -> str:
        """The row of the README's table."""
        return f"| {self.name} | {self.commands} | {self.kafka} |"

    def bindings(self, user: str) -> Iterator[AclBinding]:
        """Yield the ACLs that give a user this role."""
        for clause in self.kafka.split("; "):
            operations, on = clause.split(": ")
            for resource, name, pattern in _resources(on):
                for operation in operations.split(", "):
                    yield AclBinding(
                        resource,
                        name,
                        pattern,
                        f"User:{user}",
                        "*",
                        _OPERATIONS[operation],
                        AclPermissionType.ALLOW,
                    )


WORKER: Final = Role(
    "worker",
    "`worker`, `rebuild`, `doctor`",
    "Read: sources, evaluations, alerts, group `masswatch.*`; "
    "Write: evaluations, alerts, DLQs, transactional id `masswatch-*`",
)
ANALYST: Final = Role(
    "analyst",
    "`backtest`, `why`, `policy diff`, `dlq list`, `dlq show`",
    "Read: sources, alerts, DLQs",
)
REDRIVER: Final = Role(
    "redriving", "`dlq redrive`", "Read: DLQs; Write: DLQs, sources, evaluations"
)
REPLAYER: Final = Role(
    "replaying", "`replay`", "Read: sources; Create, DescribeConfigs, Write: topics `again.*`"
)
ADMIN: Final = Role(
    "topics",
    "`topics apply`, `topics diff`",
    "Alter, AlterConfigs, Create, DescribeConfigs: sources, evaluations, alerts, DLQs",
)
SOURCE: Final = Role("who brings records", "`simulate`", "Write: sources")
READER: Final = Role("who reads alerts", "", "Read: alerts")

ROLES: Final = (WORKER, ANALYST, REDRIVER, REPLAYER, ADMIN, SOURCE, READER)

REDIS: Final = (
    "~mw1.* ~{mw1}/* +get +set +del +unlink +rename +scan +info +hsetnx +hgetall +sadd +smembers "
    "+expire +client|setinfo"
)
"""What the worker must be allowed in Redis, for the namespace mw1."""

_OPERATIONS: Final = {
    "Alter": AclOperation.ALTER,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
    "Create": AclOperation.CREATE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
}


def _resources(on: str) -> Iterator[tuple[ResourceType, str, ResourcePatternType]]:
    sources = Sources().all
    named = {
        "sources": sources,
        "evaluations": (EVALUATIONS,),
        "alerts": (ALERTS,),
        "DLQs": tuple(dlq_of(one) for one in (*sources, EVALUATIONS)),
    }
    kinds = {
        "group": ResourceType.GROUP,
        "topics": ResourceType.TOPIC,
        "transactional id": ResourceType.TRANSACTIONAL_ID,
    }
    for each in on.split(", "):
        if each in named:
            for name in named[each]:
                yield ResourceType.TOPIC, name, ResourcePatternType.LITERAL
        else:
            kind, _, name = each.rstrip("`").partition(" `")
            yield kinds[kind], name.removesuffix("*"), ResourcePatternType.PREFIXED
