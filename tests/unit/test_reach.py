from datetime import timedelta

import pytest

from pipeline.core.event_time import EventTime, ticks
from pipeline.ports import Reach
from pipeline.reader.batch import Partition
from pipeline.reader.watch import Progress
from pipeline.worker.reach import PartitionReach, believed, merged, of_all, shifted

NOON = EventTime(17_700_000_000_000_0000)
MARGIN = timedelta(seconds=2)


def at(seconds: float) -> EventTime:
    return EventTime(NOON + ticks(timedelta(seconds=seconds)))


def progress(
    position: int, end: int | None, *, unanswered: float = 0.0, unfinished: float = 0.0
) -> Progress:
    return Progress(Partition("t", 0), position, end, 0.0, unanswered, unfinished)


class Following:
    """A partition that is looked at once a second."""

    def __init__(self) -> None:
        self.partition = PartitionReach(MARGIN)
        self.seconds = 0

    def sees(self, one: Progress | None, fetched: int = 0, times: int = 1) -> Reach:
        for _ in range(times):
            self.partition.look(at(self.seconds), fetched, one)
            self.seconds += 1
        return self.partition.reach


def test_nothing_is_known_of_a_partition_that_was_never_fetched() -> None:
    assert Following().sees(progress(0, None)) == Reach()


def test_a_partition_at_its_end_is_read_to_now_but_for_the_margin() -> None:
    following = Following()

    reach = following.sees(progress(7, 7), times=10)

    assert reach == Reach(None, at(9 - 2))


def test_a_partition_that_lags_is_read_to_when_it_ended_where_it_is_read_to() -> None:
    following = Following()
    for second in range(10):
        following.sees(progress(0, 10 * second + 10))

    reach = following.sees(progress(45, 110))

    assert reach.read_to == at(3 - 2)


def test_a_partition_that_never_stands_at_its_end_goes_on_all_the_same() -> None:
    following = Following()

    for second in range(10):
        reach = following.sees(progress(10 * second + 5, 10 * second + 10))

    assert reach.read_to == at(8 - 2)


def test_while_no_fetch_is_answered_nobody_knows_of_a_new_end() -> None:
    following = Following()
    following.sees(progress(7, 7))

    reach = following.sees(progress(7, 7, unanswered=30.0))

    assert reach.read_to == at(0 - 2)


@pytest.mark.parametrize("unfinished", [0.001, 3.0, -0.001])
def test_what_a_batch_in_hand_brings_does_not_count_as_read(unfinished: float) -> None:
    following = Following()
    following.sees(progress(7, 7))

    held = following.sees(progress(9, 9, unfinished=unfinished), times=5)
    resumed = following.sees(progress(9, 9))

    assert held.read_to == at(0 - 2)
    assert resumed.read_to == at(6 - 2)


def test_a_record_was_heard_when_the_count_had_grown() -> None:
    following = Following()
    following.sees(progress(1, 1), fetched=1)
    following.sees(progress(1, 1), fetched=1, times=5)

    heard = following.sees(progress(2, 2), fetched=2)
    later = following.sees(progress(2, 2), fetched=2, times=5)

    assert (heard.last_record_at, later.last_record_at) == (at(6), at(6))


def test_what_was_reached_stays_when_the_partition_goes_to_others() -> None:
    following = Following()
    following.sees(progress(7, 7), fetched=7)

    reach = following.sees(None, fetched=7, times=5)

    assert reach == Reach(at(0), at(-2))


def test_a_partition_that_comes_back_is_not_read_to_where_it_ended_before() -> None:
    following = Following()
    following.sees(progress(0, 10))
    following.sees(None)

    reach = following.sees(progress(20, 30))

    assert reach.read_to is None


def test_hours_of_lag_are_remembered_in_bounds_and_never_too_kindly() -> None:
    following = Following()
    for second in range(10_000):
        following.sees(progress(0, second + 1))

    reach = following.sees(progress(5_000, 10_001))

    assert reach.read_to is not None
    assert at(4_999 - 2 - 64) <= reach.read_to <= at(4_999 - 2)


def test_of_two_who_read_a_partition_the_later_counts() -> None:
    assert merged(Reach(at(1), at(5)), Reach(at(2), None)) == Reach(at(2), at(5))


def test_a_source_is_heard_by_any_partition_and_read_to_by_all() -> None:
    assert of_all([Reach(at(1), at(5)), Reach(None, at(6))]) == Reach(at(1), at(5))


def test_a_source_of_which_one_partition_is_unknown_is_read_to_nobody_knows_where() -> None:
    assert of_all([Reach(at(1), at(5)), Reach(at(2), None)]) == Reach(at(2), None)


def test_nothing_is_known_of_a_source_without_partitions() -> None:
    assert of_all([]) == Reach()


def test_what_was_reached_is_the_same_moment_by_another_clock() -> None:
    assert shifted(Reach(at(1), None), ticks(timedelta(seconds=5))) == Reach(at(6), None)


def test_a_minute_ahead_is_believed_and_a_tick_more_is_not() -> None:
    ahead, too_far = at(60), EventTime(at(60) + 1)

    assert believed(Reach(ahead, too_far), at(0)) == Reach(ahead, None)
    assert believed(Reach(too_far, ahead), at(0)) == Reach(None, ahead)
