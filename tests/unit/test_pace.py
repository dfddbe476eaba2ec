import pytest

from pipeline.replay.pace import ByRate, ByRecordTime, FlatOut

NOON = 1_770_000_000_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_flat_out_nothing_is_too_early() -> None:
    pace = FlatOut()

    assert [pace.early(one) for one in (NOON, NOON + 10_000_000)] == [0, 0]


def test_at_four_times_the_speed_two_seconds_take_half_a_second() -> None:
    clock = Clock()
    pace = ByRecordTime(4, clock)

    assert pace.early(NOON) == 0
    assert pace.early(NOON + 2_000) == pytest.approx(0.5)
    clock.now += 0.5
    assert pace.early(NOON + 2_000) == pytest.approx(0)


def test_who_is_late_is_not_made_to_wait_until_he_has_caught_up() -> None:
    clock = Clock()
    pace = ByRecordTime(1, clock)
    pace.early(NOON)

    clock.now += 10

    assert pace.early(NOON + 9_000) == pytest.approx(-1)
    assert pace.early(NOON + 11_000) == pytest.approx(1)


def test_a_record_whose_time_goes_back_or_that_has_none_does_not_wait() -> None:
    pace = ByRecordTime(1, Clock())
    pace.early(NOON)

    assert pace.early(NOON - 5_000) < 0
    assert pace.early(0) == 0


def test_at_a_rate_the_records_are_as_far_apart_as_it_says() -> None:
    clock = Clock()
    pace = ByRate(4, clock)
    due = []

    for _ in range(4):
        clock.now += max(0, pace.early(0))
        due.append(clock.now)
        pace.went()

    assert due == pytest.approx([1_000, 1_000.25, 1_000.5, 1_000.75])
