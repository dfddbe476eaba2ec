"""A dead letter as it lies in a DLQ, and the note beside it that its value was redriven.

A DLQ holds letters, each with headers of provenance behind those of its record, and notes. A note
says that the value of one source position was sent again: it stands for all letters of this value.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.adapters.kafka_feed import Recorded
from pipeline.adapters.kafka_sinks import PROVENANCE, WHOLE
from pipeline.core.model import Position
from topics.catalogue import dlq_of

REDRIVES: Final = "masswatch-redrives"
"""The header of a redriven record that counts how often its value was redriven."""

REDRIVEN_FROM: Final = "masswatch-redriven-from"
"""The header of a redriven record that names the position of its dead letter."""

_REASON: Final = f"{PROVENANCE}reason"
_NOTE: Final = f"{PROVENANCE}redriven"
_NUMBER: Final = re.compile(rb"\d{1,18}")

_Headers = tuple[tuple[str, bytes | None], ...]


class Origin(NamedTuple):
    """Which value a letter is of: its source position and record time.

    The time tells a position from the same one of a former topic of the name.
    """

    topic: str
    partition: int
    offset: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter.

    Attributes:
        at: Where it lies in its DLQ.
        origin: Which value it is of.
        index: Which record of the value could not be used; None: the value as a whole.
        reason: Why.
        headers: Those of the source record, as they were.
        redrives: How often the value had been redriven when it became this letter.
        cut_from: The size of the value, of which only the beginning is here; None: it is whole.
        record: All of it, as it lies there.
    """

    at: Position
    origin: Origin
    index: int | None
    reason: str
    headers: _Headers
    redrives: int
    cut_from: int | None
    record: Recorded

    @property
    def source(self) -> Position:
        """Where the record lay."""
        return Position(*self.origin[:3], self.index)

    def redriven(self) -> Recorded:
        """Return the record that sends the value again; its source position is the letter's."""
        kept = [one for one in self.headers if one[0] not in (REDRIVES, REDRIVEN_FROM)]
        added = (
            (REDRIVES, b"%d" % (self.redrives + 1)),
            (REDRIVEN_FROM, str(self.at).encode()),
        )
        return self.record._replace(headers=(*kept, *added))

    def note(self) -> Recorded:
        """Return the note that the value was redriven; it belongs behind the letter."""
        return self.record._replace(value=None, key=None, headers=((_NOTE, _text(self.origin)),))


def read(record: Recorded) -> Letter | Origin | None:
    """Read what lies in a DLQ: a letter, the origin that a note says was redriven, or neither.

    What claims to come from another topic than the DLQ is of is neither: it would be sent there.
    """
    names = [name for name, _ in record.headers]
    if _NOTE in names and _REASON not in names:
        return _noted(record)
    if _REASON not in names:
        return None
    # The source record may have been copied from a DLQ: only the last provenance is ours.
    begin = len(names) - 1 - names[::-1].index(_REASON)
    ours = {name: value or b"" for name, value in record.headers[begin:]}
    original = tuple(record.headers[:begin])
    origin, index = _origin(ours), ours.get(f"{PROVENANCE}index", b"")
    is_odd = index != WHOLE and _number(index) is None
    if origin is None or is_odd or dlq_of(origin.topic) != record.topic:
        return None
    return Letter(
        at=Position(record.topic, record.partition, record.offset),
        origin=origin,
        index=_number(index),
        reason=ours[_REASON].decode(errors="backslashreplace"),
        headers=original,
        redrives=_number(dict(original).get(REDRIVES) or b"") or 0,
        cut_from=_number(ours.get(f"{PROVENANCE}truncated-from", b"")),
        record=record,
    )


def _noted(record: Recorded) -> Origin | None:
    fields = (dict(record.headers)[_NOTE] or b"").split(b" ")
    names = ("topic", "partition", "offset", "timestamp")
    if len(fields) != len(names):
        return None
    origin = _origin({PROVENANCE + name: of for name, of in zip(names, fields, strict=True)})
    return origin if origin is not None and dlq_of(origin.topic) == record.topic else None


def _text(origin: Origin) -> bytes:
    return " ".join(map(str, origin)).encode()


def _origin(headers: Mapping[str, bytes]) -> Origin | None:
    partition, offset, time_ms = (
        _number(headers.get(f"{PROVENANCE}{name}", b""))
        for name in ("partition", "offset", "timestamp")
    )
    if partition is None or offset is None or time_ms is None:
        return None
    topic = headers.get(f"{PROVENANCE}topic", b"").decode(errors="replace")
    return Origin(topic, partition, offset, time_ms)


def _number(text: bytes) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None
