"""Whether the brokers, and how they are set, suit workers."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from pipeline.adapters.kafka_alerts import TRANSACTION_SECONDS
from pipeline.adapters.kafka_standing import KafkaStanding
from pipeline.doctor.finding import Area, Finding, Level, ok, unchecked
from pipeline.doctor.plan import Plan
from pipeline.doctor.words import counted, mebibytes, span
from topics.catalogue import ALERT_MAX_BYTES

_TRANSACTION: Final = timedelta(seconds=TRANSACTION_SECONDS)
_TRUE: Final = "true"


def on_broker(found: KafkaStanding, plan: Plan) -> Iterator[Finding]:
    """Judge the brokers and their settings."""
    where = f"cluster {found.cluster}"
    told = f"{counted(len(found.brokers), 'broker')}, controller {found.controller}"
    if found.controller is None:
        yield Finding(
            Level.WARNING, Area.BROKER, where, "no controller", "look at the controllers' logs"
        )
    else:
        yield ok(Area.BROKER, where, told)
    if not found.settings:
        why = found.untold.get("settings", "nothing was told")
        yield unchecked(
            Area.BROKER,
            "broker settings",
            why,
            "allow DescribeConfigs on the cluster, or compare session and transaction time-outs "
            "by hand",
        )
        return
    faults = [
        *_on_session(found.settings, plan.session_timeout),
        *_on_transactions(found.settings),
        *_on_size(found.settings),
    ]
    yield from faults
    if not faults:
        yield ok(Area.BROKER, "broker settings", "sessions, transactions and sizes fit")
    yield from _on_safety(found)


def _on_session(settings: Mapping[str, str], session: timedelta) -> Iterator[Finding]:
    least = _milliseconds(settings, "group.min.session.timeout.ms")
    most = _milliseconds(settings, "group.max.session.timeout.ms")
    if least is not None and session < least:
        name, bound, word = "group.min.session.timeout.ms", least, "below"
    elif most is not None and session > most:
        name, bound, word = "group.max.session.timeout.ms", most, "above"
    else:
        return
    yield Finding(
        Level.FAULT,
        Area.BROKER,
        "MASSWATCH_KAFKA__SESSION_TIMEOUT",
        f"{span(session)} is {word} the broker's {name}, {span(bound)}: no worker can join",
        "change one of the two",
    )


def _on_transactions(settings: Mapping[str, str]) -> Iterator[Finding]:
    most = _milliseconds(settings, "transaction.max.timeout.ms")
    if most is not None and most < _TRANSACTION:
        yield Finding(
            Level.FAULT,
            Area.BROKER,
            "transaction.max.timeout.ms",
            f"{span(most)} is below the {span(_TRANSACTION)} of workers: no alert can be published",
            "raise it on the brokers",
        )


def _on_size(settings: Mapping[str, str]) -> Iterator[Finding]:
    most = _number(settings, "socket.request.max.bytes")
    if most is not None and most <= ALERT_MAX_BYTES:
        yield Finding(
            Level.FAULT,
            Area.BROKER,
            "socket.request.max.bytes",
            f"{mebibytes(most)} is no more than an alert may have, {mebibytes(ALERT_MAX_BYTES)}",
            "raise it on the brokers",
        )


def _on_safety(found: KafkaStanding) -> Iterator[Finding]:
    if found.settings.get("unclean.leader.election.enable") == _TRUE:
        yield Finding(
            Level.WARNING,
            Area.BROKER,
            "unclean.leader.election.enable",
            "a broker that lags behind may become leader: confirmed records would be lost",
            "set it to false",
        )
    if found.settings.get("auto.create.topics.enable") == _TRUE:
        yield Finding(
            Level.NOTE,
            Area.BROKER,
            "auto.create.topics.enable",
            "whoever writes to a misspelt topic creates it, with the broker's defaults",
            "set it to false, unless others need it",
        )
    if not found.settings.get("authorizer.class.name", _TRUE):
        yield Finding(
            Level.NOTE,
            Area.BROKER,
            "authorizer.class.name",
            "none: whoever reaches the broker may read, write and delete everything",
            "see the README's least privileges, unless the network alone is trusted",
        )


def _milliseconds(settings: Mapping[str, str], name: str) -> timedelta | None:
    number = _number(settings, name)
    return None if number is None else timedelta(milliseconds=number)


def _number(settings: Mapping[str, str], name: str) -> int | None:
    text = settings.get(name, "")
    return int(text) if text.removeprefix("-").isdecimal() else None
