"""Packing: records into Kafka values, in every way in which Azure and its relays do it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from pipeline.simulate.delivery import Delivery

LARGEST_VALUE: Final = 256 * 1024
"""Microsoft splits a batch of Intune events above this size."""

_MANY_LINES_UP_TO: Final = 40
_BARE_UP_TO: Final = 12
_ESCAPED_IN: Final = 40


@dataclass(frozen=True, slots=True)
class Value:
    """A Kafka value, how many records it holds, and which of them are faulty.

    A fault is an index in `records` (None: the value as a whole) and why.
    """

    data: bytes
    records: int
    faults: tuple[tuple[int | None, str], ...] = ()


def pack(
    chance: Random, deliveries: Sequence[Delivery], *, many_lines: bool = True
) -> Iterator[Value]:
    """Pack what one hub received from one tenant within a few minutes.

    Args:
        chance: decides on the way, mostly an envelope.
        deliveries: the records, in order.
        many_lines: whether a value may hold newline-separated records; otherwise it is an
            envelope, so that a file can hold one value a line.
    """
    batch: list[Delivery] = []
    size = 0
    for one in deliveries:
        if one.alone:
            faults = ((None, one.fault),) if one.fault else ()
            yield Value(one.record, 1, faults)
            continue
        if batch and size + len(one.record) > LARGEST_VALUE - 64:
            yield from _pack_batch(chance, batch, many_lines=many_lines)
            batch, size = [], 0
        batch.append(one)
        size += len(one.record) + 1
    if batch:
        yield from _pack_batch(chance, batch, many_lines=many_lines)


def envelope(records: Sequence[bytes]) -> bytes:
    """Return the envelope `{"records":[…]}`."""
    return b'{"records":[' + b",".join(records) + b"]}"


def _pack_batch(chance: Random, batch: list[Delivery], *, many_lines: bool) -> Iterator[Value]:
    records = [one.record for one in batch]
    faults = tuple((index, one.fault) for index, one in enumerate(batch) if one.fault)
    way = chance.random()
    if faults or way >= 0.14:
        data = envelope(records)
        # Escapes make it longer, and it must stay below the largest size.
        is_short = len(data) < LARGEST_VALUE // 2
        if is_short and not faults and way * _ESCAPED_IN > _ESCAPED_IN - 1:
            data = _escaped(data)
        yield Value(data, len(records), faults)
    elif way < 0.07 and len(records) <= _BARE_UP_TO:
        for record in records:
            yield Value(record, 1)
    elif way < 0.10 and len(records) <= _MANY_LINES_UP_TO:
        data = b"\n".join(records) if many_lines else envelope(records)
        yield Value(data, len(records))
    else:
        middle = chance.randint(0, len(records))
        halves = (envelope(records[:middle]), envelope(records[middle:]))
        yield Value(b"[" + b",".join(halves) + b"]", len(records))


def _escaped(data: bytes) -> bytes:
    """Spell the same JSON with escapes: a careful relay's letters, and in a decisive word."""
    text = json.dumps(json.loads(data))
    return text.replace("MobileApp", r"Mobile\u0041pp").encode()
