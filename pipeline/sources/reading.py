"""Read JSON leniently: what one library refuses, the other takes; texts as KQL's tostring."""

import json
import re
from collections.abc import Mapping
from typing import Final

import orjson

from pipeline.core.evidence import NOBODY, is_nothing

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Row = Mapping[str, Json]

_MOST_DIGITS: Final = 20
"""Of an integer of 64 bits, with its sign; beyond some thousands Python refuses to read one."""
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DEEPEST: Final = 100
"""Levels that are written; a writer that recurses on all of them would end at the stack's end."""


class NotJsonError(ValueError):
    """The bytes or the text are no JSON."""


def read_json(data: bytes | str) -> Json:
    """Read JSON in UTF-8.

    Lone surrogates become U+FFFD, numbers out of range infinite.

    Raises:
        NotJsonError: it is none, or nested deeper than can be read.
    """
    try:
        return _orjson(data)
    except orjson.JSONDecodeError:
        pass  # orjson is strict about surrogates, NaN and a byte order mark: ask the other one
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        read: Json = json.loads(text, parse_int=_number)
        return _scrubbed(read)
    except (ValueError, RecursionError) as error:
        raise NotJsonError(str(error)) from error


def _orjson(data: bytes | str) -> Json:
    read: Json = orjson.loads(data)
    return read


def _number(digits: str) -> int | float:
    """Read an integer as orjson does: what takes more than 64 bits is a float, maybe infinite."""
    if len(digits) > _MOST_DIGITS:
        return float(digits)
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else float(digits)


def _scrubbed(value: Json) -> Json:
    match value:
        case str():
            return _LONE_SURROGATE.sub("\ufffd", value)
        case list():
            return [_scrubbed(one) for one in value]
        case dict():
            return {_LONE_SURROGATE.sub("\ufffd", key): _scrubbed(of) for key, of in value.items()}
        case _:
            return value


def text_of(value: Json) -> str:
    """Return a JSON value as KQL's tostring does: null is "", an object its JSON text."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case _:
            return json_text(value)


def json_text(value: Json) -> str:
    """Write JSON without blanks and with sorted keys; what lies deeper than 100 levels is cut.

    Members of an object have no order in KQL, so two objects that differ in it alone are one.
    """
    return json.dumps(_cut(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _cut(value: Json, levels: int = _DEEPEST) -> Json:
    match value:
        case list():
            return [_cut(one, levels - 1) for one in value] if levels else None
        case dict():
            return {name: _cut(of, levels - 1) for name, of in value.items()} if levels else None
        case _:
            return value


def first_text(row: Row, *columns: str) -> str:
    """Return the first of the columns that says something, as text; "" when none does."""
    for column in columns:
        text = text_of(row.get(column))
        if not is_nothing(text):
            return text
    return ""


def object_id(row: Row, *columns: str) -> str:
    """Return an id in lower case; "" for nothing and for the all-zero id, which is nobody."""
    text = first_text(row, *columns).lower()
    return "" if text == NOBODY else text


def nested(value: Json, depth: int = 3) -> Json:
    """Read `Properties`: an object as it is, a text as JSON, also when it is a text in a text.

    Returns:
        Whatever it holds; a text that does not look like an object or array stays a text.

    Raises:
        NotJsonError: it is a text meant to hold JSON, and does not.
    """
    is_outermost = True
    while isinstance(value, str) and depth:
        if not is_outermost and not value.lstrip().startswith(("{", "[", '"')):
            return value
        value, depth, is_outermost = read_json(value), depth - 1, False
    return value


def expanded(value: Json) -> list[Json]:
    """Return the rows that KQL's mv-expand makes of a dynamic value."""
    match value:
        case list():
            return value
        case dict():
            return [{name: of} for name, of in value.items()]
        case _:
            return [value]
