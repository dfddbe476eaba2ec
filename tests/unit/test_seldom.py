from pipeline.stages.seldom import Seldom


class Telling:
    """Cases are numbers, the greater the worse; a line is how many it stands for and the worst."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[tuple[int, int]] = []
        self.seldom = Seldom[int](
            lambda told, worst: self.lines.append((told, worst)),
            lambda case: case,
            every=10,
            clock=lambda: self.now,
        )


def test_the_first_case_is_told_at_once() -> None:
    telling = Telling()

    telling.seldom.tell([7])

    assert telling.lines == [(1, 7)]


def test_what_follows_is_told_together_after_a_while_with_the_worst_of_all() -> None:
    telling = Telling()
    telling.seldom.tell([9])

    telling.now = 9.9
    telling.seldom.tell([2, 8, 3])
    telling.seldom.tell([1])
    before = list(telling.lines)
    telling.now = 10.0
    telling.seldom.tell([5])

    assert before == [(1, 9)]
    assert telling.lines == [(1, 9), (5, 8)]


def test_each_line_begins_a_new_while() -> None:
    telling = Telling()
    telling.seldom.tell([1])
    telling.now = 10.0
    telling.seldom.tell([2])

    telling.now = 15.0
    telling.seldom.tell([3])

    assert telling.lines == [(1, 1), (1, 2)]


def test_the_rest_of_a_burst_is_told_when_the_while_is_over_though_nothing_follows() -> None:
    telling = Telling()
    for case in range(5_000):
        telling.seldom.tell([case])

    telling.now = 9.9
    telling.seldom.tell_rest()
    before = list(telling.lines)
    telling.now = 10.0
    for _ in range(3):
        telling.seldom.tell_rest()

    assert before == [(1, 0)]
    assert telling.lines == [(1, 0), (4_999, 4_999)]


def test_where_nothing_happened_nothing_is_told() -> None:
    telling = Telling()

    telling.seldom.tell([])
    telling.seldom.tell_rest()

    assert telling.lines == []
