"""Whether the topics are there, as they are declared, and on enough brokers."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from pipeline.adapters.kafka_look import INTERNAL
from pipeline.adapters.kafka_standing import KafkaStanding, Place
from pipeline.adapters.topic_differences import Difference, What, differences
from pipeline.doctor.finding import Area, Finding, Level, ok, unchecked
from pipeline.doctor.plan import Plan
from pipeline.doctor.words import counted, listed
from topics.catalogue import FACTS_KEPT

_APPLY: Final = "run masswatch topics apply"
_UNLIMITED: Final = -1
_MIN_IN_SYNC: Final = "min.insync.replicas"
_LOSS: Final = "the loss of one broker loses what is on it"


def on_topics(found: KafkaStanding, plan: Plan) -> Iterator[Finding]:
    """Judge the topics."""
    for name in sorted(found.forbidden):
        yield Finding(
            Level.FAULT,
            Area.TOPICS,
            name,
            "this user may not even see it, or it is not there",
            "see the README's least privileges",
        )
    if "topics" in found.untold:
        yield unchecked(Area.TOPICS, "topics", found.untold["topics"], "run masswatch doctor again")
        return
    declared = list(_on_declarations(found, plan))
    yield from declared
    if not declared and not found.forbidden:
        rest = "with enough partitions" if "configs" in found.untold else "as declared"
        yield ok(Area.TOPICS, counted(len(plan.topics), "topic"), f"there, {rest}")
    if "configs" in found.untold:
        yield unchecked(
            Area.TOPICS,
            "settings of topics",
            found.untold["configs"],
            "allow DescribeConfigs on the topics",
        )
    copies = [*_on_leaders(found), *_on_replication(found)]
    yield from copies
    if not copies and found.topics:
        yield ok(Area.TOPICS, "replicas", "every partition has its leader and all of its replicas")


def _on_declarations(found: KafkaStanding, plan: Plan) -> Iterator[Finding]:
    counts = {name: len(topic.partitions) for name, topic in found.topics.items()}
    topics = [topic for topic in plan.topics if topic.name not in found.forbidden]
    for one in differences(topics, counts, found.configs, plan.twins):
        if one.what is not What.CONFIG or one.topic in found.configs:
            yield _said(one)


def _said(one: Difference) -> Finding:
    level = _level(one)
    if one.what is What.MISSING:
        return Finding(level, Area.TOPICS, one.topic, "does not exist", _APPLY)
    what = f"{one.setting} is {one.found or 'not set'}, declared is {one.wanted}"
    remedy = _APPLY if one.appliable else one.remedy
    return Finding(level, Area.TOPICS, one.topic, what, remedy)


def _level(one: Difference) -> Level:
    match one.what:
        case What.MISSING | What.TWIN:
            return Level.FAULT
        case What.PARTITIONS:
            return Level.NOTE
        case What.CONFIG:
            return _level_of_setting(one)


def _level_of_setting(one: Difference) -> Level:
    """Say how grave it is: what loses records is a fault, what keeps more of them is no harm."""
    match one.setting:
        case "cleanup.policy" | "message.timestamp.type":
            return Level.FAULT
        case "max.message.bytes":
            return Level.FAULT if _amount(one.found) < _amount(one.wanted) else Level.NOTE
        case "retention.ms":
            if _amount(one.found) >= _amount(one.wanted):
                return Level.NOTE
            facts = min(_amount(one.wanted), FACTS_KEPT / timedelta(milliseconds=1))
            return Level.FAULT if _amount(one.found) < facts else Level.WARNING
        case _:
            return Level.NOTE


def _amount(text: str) -> float:
    number = int(text) if text.removeprefix("-").isdecimal() else 0
    return float("inf") if number == _UNLIMITED else number


def _on_leaders(found: KafkaStanding) -> Iterator[Finding]:
    for name, topic in sorted(found.topics.items()):
        headless = [Place(name, one) for one, of in topic.partitions.items() if of.leader is None]
        if headless:
            yield Finding(
                Level.FAULT,
                Area.TOPICS,
                name,
                f"no leader for {listed(headless)}: neither read nor written",
                "start the brokers that have it",
            )
        behind = {
            Place(name, one): of.all - of.in_sync
            for one, of in topic.partitions.items()
            if of.leader is not None and of.all - of.in_sync
        }
        if behind:
            lagging = sorted(frozenset[int]().union(*behind.values()))
            yield Finding(
                Level.WARNING,
                Area.TOPICS,
                name,
                f"{counted(len(behind), 'partition')} under-replicated: out of sync: "
                f"broker {listed(lagging)}",
                "start these brokers, or look at their disks and network",
            )


def _on_replication(found: KafkaStanding) -> Iterator[Finding]:
    if len(found.brokers) == 1:
        yield Finding(
            Level.NOTE,
            Area.TOPICS,
            "replicas",
            f"the cluster has one broker: {_LOSS}",
            "run three brokers where records matter",
        )
    lonely: list[str] = []
    risky: list[str] = []
    for name, topic in sorted(found.topics.items()):
        factor = min((len(of.all) for of in topic.partitions.values()), default=0)
        in_sync = min((len(of.in_sync) for of in topic.partitions.values()), default=0)
        minimum = int(found.configs.get(name, {}).get(_MIN_IN_SYNC) or 0)
        if minimum > in_sync:
            yield Finding(
                Level.FAULT,
                Area.TOPICS,
                name,
                f"{_MIN_IN_SYNC} is {minimum}, in sync are {in_sync} of {factor}: "
                "writes are refused",
                "start the brokers that are out of sync"
                if minimum <= factor
                else f"lower {_MIN_IN_SYNC}, or raise the replication",
            )
        elif factor == 1 and len(found.brokers) > 1:
            lonely.append(name)
        elif factor > 1 and minimum == 1:
            risky.append(name)
    if lonely:
        internal = " (Kafka's own)" if set(lonely) & set(INTERNAL) else ""
        yield Finding(
            Level.WARNING,
            Area.TOPICS,
            listed(lonely) + internal,
            f"replication factor 1 on {len(found.brokers)} brokers: {_LOSS}",
            "raise it by a reassignment of partitions",
        )
    if risky:
        yield Finding(
            Level.WARNING,
            Area.TOPICS,
            listed(risky),
            f"{_MIN_IN_SYNC} is 1: what one broker confirmed alone may be lost with it",
            f"set {_MIN_IN_SYNC} to 2",
        )
