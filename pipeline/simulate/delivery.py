"""A record on its way into a topic, and the value in which it arrives."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from pipeline.core.event_time import EventTime, format_event_time

_TIME_FIRST: Final = b'{"time":"'
_TIME_LENGTH: Final = len("2026-03-04T09:12:41.5530000Z")


class Kind(StrEnum):
    """The four kinds of source topics; each is named like its setting."""

    AUDIT = "audit"
    IDENTITY_INFO = "identity_info"
    BEHAVIOR_ENTITIES = "behavior_entities"
    GRAPH_ACTIVITY = "graph_activity"


class Arrival(NamedTuple):
    """A value that arrives in a topic of a kind, and how many records it holds."""

    kind: Kind
    value: bytes
    records: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One wire record, when it arrives, and from which tenant's table.

    `fault` says why it must be dead-lettered; `alone` gives it a value of its own, bare.
    """

    arrival: EventTime
    tenant_id: str
    kind: Kind
    record: bytes
    fault: str = ""
    alone: bool = False


def delivered_again(record: bytes, time: EventTime) -> bytes:
    """Return the copy of a record that Azure delivers: only the envelope's time differs.

    A bare row has no envelope and comes again as it was.
    """
    if not record.startswith(_TIME_FIRST):
        return record
    rest = record[len(_TIME_FIRST) + _TIME_LENGTH :]
    return _TIME_FIRST + format_event_time(time).encode() + rest
