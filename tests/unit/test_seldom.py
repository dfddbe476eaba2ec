from pipeline.stages.seldom import Seldom


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_occurrence_is_told_at_once() -> None:
    assert Seldom(10, Clock()).tell() == 1


def test_what_follows_is_told_together_after_a_while() -> None:
    clock = Clock()
    seldom = Seldom(10, clock)
    seldom.tell()

    clock.now = 9.9
    silent = [seldom.tell(3), seldom.tell()]
    clock.now = 10.0
    told = seldom.tell()

    assert silent == [None, None]
    assert told == 5


def test_each_line_begins_a_new_while() -> None:
    clock = Clock()
    seldom = Seldom(10, clock)
    seldom.tell()
    clock.now = 10.0
    seldom.tell()

    clock.now = 15.0

    assert seldom.tell() is None
