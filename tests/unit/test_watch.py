from pipeline.reader.batch import Partition
from pipeline.reader.watch import Progress, Sight, Watch

HERE = Partition("t", 0)


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.watch = Watch(lambda: self.now)

    def look(self, sight: Sight | None) -> None:
        self.now += 1.0
        self.watch.look(None if sight is None else {HERE: sight})

    @property
    def progress(self) -> Progress:
        [progress] = self.watch.progress()
        return progress


def a_sight(
    position: int = 5,
    *,
    end: int | None = 10,
    polled: int | None = 1,
    is_idle: bool = True,
    oldest: float | None = None,
) -> Sight:
    return Sight(position, end, polled, is_idle, oldest)


def test_a_partition_that_is_not_read_though_there_is_something_stands_still() -> None:
    world = World()

    for polled in range(4):
        world.look(a_sight(polled=polled))

    assert world.progress == Progress(HERE, 5, 10, unmoved=3.0, unanswered=0.0, unfinished=0.0)


def test_a_partition_that_moves_does_not_stand_still() -> None:
    world = World()

    for position in range(4):
        world.look(a_sight(position))

    assert world.progress.unmoved == 0.0


def test_a_partition_read_to_its_end_does_not_stand_still() -> None:
    world = World()

    for polled in range(4):
        world.look(a_sight(10, polled=polled))

    assert world.progress.unmoved == 0.0


def test_fetches_without_an_answer_are_noticed() -> None:
    world = World()

    for _ in range(4):
        world.look(a_sight(10))

    assert world.progress.unanswered == 3.0


def test_a_partition_without_room_is_judged_by_its_oldest_batch_alone() -> None:
    world = World()

    for _ in range(4):
        world.look(a_sight(is_idle=False, oldest=1.5))

    assert world.progress == Progress(HERE, 5, 10, unmoved=0.0, unanswered=0.0, unfinished=2.5)


def test_time_while_the_broker_is_away_does_not_count() -> None:
    world = World()
    world.look(a_sight(oldest=1.0))

    world.now += 3.0
    world.watch.hold()
    world.look(a_sight(oldest=1.0))
    world.look(a_sight(oldest=1.0))

    assert world.progress == Progress(HERE, 5, 10, unmoved=1.0, unanswered=1.0, unfinished=2.0)


def test_time_in_which_the_process_was_stopped_does_not_count() -> None:
    world = World()
    world.look(a_sight(oldest=1.0))

    world.now += 60.0
    world.look(a_sight(oldest=1.0))

    assert world.progress.unmoved == 0.0
    assert world.progress.unfinished == 0.0


def test_time_without_a_take_over_is_counted_and_its_partitions_are_forgotten() -> None:
    world = World()
    world.look(a_sight())

    world.look(None)
    world.look(None)

    assert world.watch.apart == 2.0
    assert list(world.watch.progress()) == []
    world.look(a_sight())
    assert world.watch.apart == 0.0
