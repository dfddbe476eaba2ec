"""Merged by record time, no record is lost, overtakes its partition, or waits without bound."""

from collections import Counter
from collections.abc import Set as AbstractSet
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.adapters.kafka_feed import Place, Recorded
from pipeline.replay.merging import in_time_order

Times = list[list[int]]
times = st.lists(st.lists(st.integers(0, 30), max_size=25), max_size=5)
ROOM = 1_000


class HeldFeed:
    """Partitions in memory, a few records of some of them at a time, and now and then none."""

    def __init__(self, times: Times, seed: int) -> None:
        self._left = {
            ("t", partition): [
                Recorded("t", partition, offset, b"v" * 100, time_ms=time_ms)
                for offset, time_ms in enumerate(of_partition)
            ]
            for partition, of_partition in enumerate(times)
        }
        self._dice = Random(seed)
        self._closed: set[Place] = set()
        self.out: Counter[Place] = Counter()

    @property
    def open(self) -> AbstractSet[Place]:
        return self._left.keys() - self._closed

    def more(self, of: AbstractSet[Place]) -> list[Recorded]:
        assert of <= self.open
        found = []
        for place in sorted(of):
            count = self._dice.randrange(4)
            found += self._left[place][:count]
            self._left[place] = self._left[place][count:]
            # The end of a partition is known with its last record, or only later.
            if not self._left[place] and self._dice.random() < 0.5:
                self._closed.add(place)
        self._dice.shuffle(found)
        found.sort(key=lambda one: one.offset)
        self.out.update(one.place for one in found)
        return found


@settings(max_examples=400, deadline=None)
@given(times=times, seed=st.integers(0, 2**32))
def test_every_record_comes_once_and_in_the_order_of_its_partition(times: Times, seed: int) -> None:
    merged = list(in_time_order(HeldFeed(times, seed), room=ROOM))

    assert {
        partition: [(one.offset, one.time_ms) for one in merged if one.partition == partition]
        for partition in range(len(times))
    } == {partition: list(enumerate(each)) for partition, each in enumerate(times)}
    assert len(merged) == sum(map(len, times))


@settings(max_examples=400, deadline=None)
@given(times=times.map(lambda all_of_them: [sorted(each) for each in all_of_them]))
@example(times=[[0] * 25, [30]])
def test_record_times_do_not_go_back_when_those_of_each_partition_do_not(times: Times) -> None:
    merged = [one.time_ms for one in in_time_order(HeldFeed(times, 1), room=ROOM)]

    assert merged == sorted(merged)


@settings(max_examples=200, deadline=None)
@given(times=times, seed=st.integers(0, 2**32))
def test_no_more_of_a_partition_waits_than_there_is_room_for(times: Times, seed: int) -> None:
    feed = HeldFeed(times, seed)
    most = 0
    gone: Counter[Place] = Counter()

    for record in in_time_order(feed, room=ROOM):
        most = max(most, *(feed.out - gone).values())
        gone[record.place] += 1

    # Each takes 300 bytes; one read of up to three may begin while there is a little room left.
    assert most <= ROOM // 300 + 3


def test_a_record_that_is_late_follows_at_once_on_the_one_before_it() -> None:
    merged = [one.time_ms for one in in_time_order(HeldFeed([[10, 3, 20], [11, 19]], 1))]

    assert merged == [10, 3, 11, 19, 20]


def test_waiting_for_a_partition_that_is_silent_ends_when_asked_to() -> None:
    class Silent(HeldFeed):
        def more(self, of: AbstractSet[Place]) -> list[Recorded]:
            return []

    answers = iter([False, False, True])

    assert list(in_time_order(Silent([[1]], 1), stopped=lambda: next(answers))) == []
