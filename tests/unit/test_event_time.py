from datetime import UTC, datetime, timedelta, timezone

import pytest

from pipeline.core.event_time import (
    EventTime,
    event_time_of,
    format_event_time,
    parse_event_time,
    ticks,
)

NOON = event_time_of(datetime(2026, 3, 4, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "ticks_after_noon"),
    [
        ("2026-03-04T12:00:00Z", 0),
        ("2026-03-04t12:00:00z", 0),
        ("2026-03-04 12:00:00Z", 0),
        ("2026-03-04T12:00:00", 0),
        ("2026-03-04T12:00:00.0000001Z", 1),
        ("2026-03-04T12:00:00.1Z", 1_000_000),
        ("2026-03-04T12:00:00.402311Z", 4_023_110),
        ("2026-03-04T12:00:00.123456789Z", 1_234_567),
        ("2026-03-04T12:00:00.99999999Z", 9_999_999),
        ("2026-03-04T14:00:00+02:00", 0),
        ("2026-03-04T14:00:00+0200", 0),
        ("2026-03-04T06:30:00.5-05:30", 5_000_000),
        ("2026-03-04T12:00:00-00:00", 0),
    ],
)
def test_a_time_is_read_to_100_ns_in_utc(text: str, ticks_after_noon: int) -> None:
    assert parse_event_time(text) == NOON + ticks_after_noon


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3/4/2026 12:00:00 PM",
        "2026-03-04",
        "2026-03-04T12:00Z",
        "2026-13-04T12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-03-04T25:00:00Z",
        "2026-03-04T12:00:61Z",
        "2026-03-04T12:00:00.Z",
        "2026-03-04T12:00:00+24:00",
        "2026-03-04T12:00:00+01:60",
        "2026-03-04T12:00:00ZZ",
        " 2026-03-04T12:00:00Z",
        "2026-03-04T12:00:00Z\n",
        "2026-03-04T5:32:08.107Z",
        "٢٠٢٦-03-04T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        None,
        1_772_625_600,
        ["2026-03-04T12:00:00Z"],
        True,
    ],
)
def test_what_is_no_moment_is_no_event_time(text: object) -> None:
    assert parse_event_time(text) is None


def test_the_first_and_the_last_moment_of_the_calendar_can_be_read() -> None:
    first, last = "0001-01-01T00:00:00.0000000Z", "9999-12-31T23:59:59.9999999Z"

    times = [parse_event_time(first), parse_event_time(last)]

    assert [format_event_time(one) for one in times if one is not None] == [first, last]


@pytest.mark.parametrize(
    ("event_time", "text"),
    [
        (NOON, "2026-03-04T12:00:00.0000000Z"),
        (NOON + 1, "2026-03-04T12:00:00.0000001Z"),
        (NOON - 1, "2026-03-04T11:59:59.9999999Z"),
        (-1, "1969-12-31T23:59:59.9999999Z"),
    ],
)
def test_a_time_is_written_in_utc_with_seven_digits(event_time: int, text: str) -> None:
    assert format_event_time(EventTime(event_time)) == text


def test_a_datetime_of_any_zone_becomes_the_same_event_time() -> None:
    in_zurich = datetime(2026, 3, 4, 13, tzinfo=timezone(timedelta(hours=1)))

    assert event_time_of(in_zurich) == NOON


def test_a_span_is_counted_in_ticks_of_100_ns() -> None:
    assert ticks(timedelta(days=1, microseconds=1)) == 864_000_000_010
    assert ticks(timedelta(seconds=-1)) == -10_000_000
