import json

import pytest
from builders import DANA_ID, NOBODY_ID

from pipeline.sources.reading import (
    Json,
    NotJsonError,
    expanded,
    first_text,
    json_text,
    nested,
    object_id,
    read_json,
    text_of,
)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b' {"a": [1, 2.5, null, true]} ', {"a": [1, 2.5, None, True]}),
        (b"\xef\xbb\xbf{}", {}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'["\\ud800x"]', ["\ufffdx"]),
        (b'{"\\udfff": {"a": "\\udc00"}}', {"\ufffd": {"a": "\ufffd"}}),
        (b'["\\ud800", 1, null]', ["\ufffd", 1, None]),
        (b"[1e400, -1e400]", [float("inf"), float("-inf")]),
        (b"[Infinity]", [float("inf")]),
        (b"9" * 5_000, float("inf")),
        (b"12345678901234567890123", 12345678901234567890123.0),
        ('{"a": "é"}', {"a": "é"}),
        ('["\\ud800"]', ["\ufffd"]),
    ],
)
def test_json_is_read_leniently(data: bytes | str, value: Json) -> None:
    assert read_json(data) == value


@pytest.mark.parametrize(
    "number",
    [
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
    ],
)
def test_integers_are_read_alike_whatever_stands_beside_them(number: str) -> None:
    alone = read_json(number)

    beside = read_json(f"[{number}, Infinity]")

    assert beside == [alone, float("inf")]
    assert isinstance(beside, list)
    assert type(beside[0]) is type(alone)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'"\x01"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        b"[" * 100_000 + b"]" * 100_000,
        "nonsense",
    ],
)
def test_what_is_no_json_says_so(data: bytes | str) -> None:
    with pytest.raises(NotJsonError):
        read_json(data)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        ("as it is", "as it is"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (2.5, "2.5"),
        ([1, "é", None], '[1,"é",null]'),
        ({"b": 1, "a": {}}, '{"a":{},"b":1}'),
        ({}, "{}"),
        ([], "[]"),
    ],
)
def test_a_value_becomes_the_text_that_kql_makes_of_it(value: Json, text: str) -> None:
    assert text_of(value) == text


def test_text_that_is_nested_too_deep_is_cut_and_the_stack_holds() -> None:
    deep = read_json(b'{"a":' * 1000 + b"1" + b"}" * 1000)

    text = json_text(deep)

    assert text == '{"a":' * 100 + "null" + "}" * 100
    assert json_text([[]] * 2) == "[[],[]]"


def test_the_first_column_that_says_something_is_taken() -> None:
    row = {"a": None, "b": "<null>", "c": "None", "d": 5, "e": "late"}

    assert first_text(row, "missing", "a", "b", "c", "d", "e") == "5"
    assert first_text(row, "a", "b") == ""


def test_an_object_id_is_in_lower_case_and_nobody_is_nothing() -> None:
    row = {"id": DANA_ID.upper(), "nobody": NOBODY_ID, "null": "<null>"}

    assert object_id(row, "id") == DANA_ID
    assert object_id(row, "nobody") == ""
    assert object_id(row, "null", "id") == DANA_ID
    assert object_id(row, "missing") == ""


@pytest.mark.parametrize(
    "stored",
    [
        {"a": 1},
        '{"a": 1}',
        json.dumps('{"a": 1}'),
        json.dumps(json.dumps('{"a": 1}')),
        ' \n{"a": 1}',
    ],
)
def test_properties_are_read_as_object_text_or_text_in_a_text(stored: Json) -> None:
    assert nested(stored) == {"a": 1}


@pytest.mark.parametrize(
    ("stored", "value"),
    [(None, None), (5, 5), ("5", 5), ("[]", []), ('"plain"', "plain"), ('""', "")],
)
def test_properties_of_another_shape_are_what_they_are(stored: Json, value: Json) -> None:
    assert nested(stored) == value


def test_properties_wrapped_too_often_stay_a_text() -> None:
    stored: Json = {"a": 1}
    for _ in range(4):
        stored = json.dumps(stored)

    assert isinstance(nested(stored), str)


@pytest.mark.parametrize("stored", ["", "  ", "plain", "{", '{"a": 1', json.dumps('{"a":'), "'{}'"])
def test_a_text_that_should_be_json_and_is_none_says_so(stored: str) -> None:
    with pytest.raises(NotJsonError):
        nested(stored)


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        ([1, None], [1, None]),
        ([], []),
        ({}, []),
        ({"a": 1, "b": [2]}, [{"a": 1}, {"b": [2]}]),
        (None, [None]),
        ("scalar", ["scalar"]),
    ],
)
def test_a_dynamic_value_expands_to_the_rows_of_mv_expand(value: Json, rows: list[Json]) -> None:
    assert expanded(value) == rows
