from datetime import timedelta

import pytest
from builders import MONDAY, shifted

from pipeline.core.window import Window, Windows

WINDOW = Window(before=timedelta(days=14), after=timedelta(hours=48))


@pytest.mark.parametrize(
    ("by", "plus_ticks", "held"),
    [
        (timedelta(), 0, True),
        (-timedelta(days=14), 0, True),
        (-timedelta(days=14), -1, False),
        (timedelta(hours=48), 0, True),
        (timedelta(hours=48), 1, False),
    ],
)
def test_a_window_holds_both_of_its_ends_and_not_a_tick_more(
    by: timedelta, plus_ticks: int, *, held: bool
) -> None:
    assert WINDOW.holds(MONDAY, shifted(MONDAY, by, plus_ticks=plus_ticks)) is held


@pytest.mark.parametrize("end", [-timedelta(days=14), timedelta(hours=48)])
@pytest.mark.parametrize("plus_ticks", [-1, 0, 1])
def test_seen_from_the_evidence_the_mirrored_window_says_the_same(
    end: timedelta, plus_ticks: int
) -> None:
    evidence = shifted(MONDAY, end, plus_ticks=plus_ticks)

    assert WINDOW.mirrored().holds(evidence, MONDAY) is WINDOW.holds(MONDAY, evidence)


def test_the_span_around_an_event_time_ends_where_evidence_ends() -> None:
    assert WINDOW.around(MONDAY) == (
        shifted(MONDAY, -timedelta(days=14)),
        shifted(MONDAY, timedelta(hours=48)),
    )


def test_facts_are_kept_23_days_by_default() -> None:
    windows = Windows()

    assert windows.evidence == WINDOW
    assert windows.graph == Window(before=timedelta(hours=2.5), after=timedelta(hours=2.5))
    assert windows.retention == timedelta(days=23)
