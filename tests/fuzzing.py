"""Values that are broken in many ways, and good ones among them with what must come of each."""

import json
from collections.abc import Callable, Iterator
from random import Random

from builders import (
    DANA,
    DANA_ID,
    EVENT,
    MONDAY_TEXT,
    REQUEST,
    activity_record,
    audit_record,
    audit_row,
    behavior_row,
    envelope,
    hunting_record,
    identity_row,
    owned,
    sentinel_row,
    value_of,
)

from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Decoded

GOOD = (
    audit_record(),
    audit_row(),
    hunting_record("IdentityInfo", identity_row()),
    sentinel_row(),
    hunting_record("BehaviorEntities", behavior_row()),
    owned(behavior_row()),
    activity_record(),
)


def cut_at_the_end(good: bytes, dice: Random) -> bytes:
    return good[: dice.randrange(len(good))]


def cut_at_the_start(good: bytes, dice: Random) -> bytes:
    return good[dice.randrange(1, len(good)) :]


def in_another_encoding(good: bytes, dice: Random) -> bytes:
    return good.decode().encode(dice.choice(["utf-16", "utf-16-le", "utf-32", "utf-7"]))


def with_a_byte_that_is_no_text(good: bytes, dice: Random) -> bytes:
    place = dice.randrange(len(good))
    return good[:place] + bytes([dice.randrange(128, 256)]) + good[place + 1 :]


def nested_deeply(good: bytes, dice: Random) -> bytes:
    deep = dice.choice([90, 101, 500, 985, 1023, 1025, 50_000])
    opening, closing = dice.choice([(b"[", b"]"), (b'{"a":', b"}")])
    nest = opening * deep + b"1" + closing * deep
    leaves = [MONDAY_TEXT, "<null>", DANA, DANA_ID, EVENT, REQUEST, "AuditLogs", "Required", "High"]
    leaf = json.dumps(dice.choice(leaves)).encode()
    return good.replace(leaf if leaf in good else b"null", nest, dice.randint(1, 3))


def with_huge_numbers(good: bytes, dice: Random) -> bytes:
    huge = dice.choice([b"9" * 5_000, b"1e999", b"-1e999", b"9" * 30, b"NaN", b"-Infinity"])
    return good.replace(b"null", huge).replace(b'"2026', huge + b',"x":"2026')


def with_wrong_types(_: bytes, dice: Random) -> bytes:
    record = dict(dice.choice(GOOD))
    odd: list[object] = [None, 5, 1.5, True, [], {}, [[]], "x", [None], {"a": None}]
    for name in dice.sample(sorted(record), dice.randint(1, len(record))):
        record[name] = dice.choice(odd)
    return value_of(record)


def noise(_: bytes, dice: Random) -> bytes:
    return dice.randbytes(dice.randrange(200))


def of_no_objects(_: bytes, dice: Random) -> bytes:
    return envelope(*(dice.choice([None, 5, "x", [], {}, True]) for _ in range(3)))


def with_other_quotes(good: bytes, dice: Random) -> bytes:
    return good.replace(b'"', dice.choice([b"'", b'\\"', b'""', b"\x00"]), dice.randrange(9))


def with_broken_properties(_: bytes, dice: Random) -> bytes:
    broken = json.dumps(dice.choice(GOOD))
    return value_of(audit_record(properties=broken[: dice.randrange(1, 200)]))


def with_odd_escapes(good: bytes, dice: Random) -> bytes:
    return good.replace(b"a", dice.choice([b"\\ud800", b"\\u0000", b"\\udfff", b"\\u00e9"]))


BREAKS: tuple[Callable[[bytes, Random], bytes], ...] = (
    cut_at_the_end,
    cut_at_the_start,
    in_another_encoding,
    with_a_byte_that_is_no_text,
    nested_deeply,
    with_huge_numbers,
    with_wrong_types,
    noise,
    of_no_objects,
    with_other_quotes,
    with_broken_properties,
    with_odd_escapes,
)


def fuzzed(count: int, dice: Random) -> Iterator[tuple[bytes, list[Decoded]]]:
    """Yield broken values, and good ones with the outcomes that they must have."""
    decode = Decoder()
    wanted = [decode(value_of(one))[0].decoded for one in GOOD]
    blank = b" " * 900_000
    for number in range(count):
        broken = BREAKS[number % len(BREAKS)]
        yield broken(value_of(dice.choice(GOOD)), dice), []
        if number % 10 == 0:
            place = dice.randrange(len(GOOD))
            yield envelope(GOOD[place], 5, GOOD[place]), [wanted[place], wanted[place]]
        if number % 2_000 == 0:
            yield envelope(*GOOD)[:-2] + blank + b"]}", wanted
            yield value_of(audit_record(x="x" * 900_000)), [wanted[0]]
            yield value_of(audit_record(x="x" * 900_000))[:-1], []
