"""Laws of expectations: they count whatever the order, and any text makes a readable report."""

import math
from xml.etree import ElementTree as ET

import pytest
from builders import MONDAY, a_risk, an_assignment, shifted
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backtest.expectations import Checked, Expectation, check
from pipeline.backtest.junit import write_junit
from pipeline.core.evaluate import evaluate
from pipeline.core.policy import Policy

bounds = st.none() | st.integers(0, 4)


@settings(max_examples=200, deadline=None)
@given(least=st.integers(0, 4), most=bounds, events=st.sets(st.integers(0, 30), max_size=8))
def test_an_expectation_holds_within_its_bounds_whatever_the_order_of_the_alerts(
    least: int, most: int | None, events: set[int]
) -> None:
    alerts = [
        evaluate(
            [an_assignment(event_id=f"e{one}", at=shifted(MONDAY, plus_ticks=one % 3))],
            [a_risk()],
            Policy(),
        )
        for one in events
    ]
    expectation = Expectation("n", least, most)

    forwards, backwards = check([expectation], alerts), check([expectation], reversed(alerts))

    assert forwards == backwards
    assert forwards[0].holds is (least <= len(events) <= (math.inf if most is None else most))


any_text = st.text(st.characters(exclude_categories=()), max_size=20)


@settings(max_examples=300, deadline=None)
@given(policy=any_text, name=any_text, says=any_text, holds=st.booleans())
def test_any_text_gives_a_report_that_can_be_read(
    policy: str, name: str, says: str, *, holds: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "report.xml"

    write_junit(path, {policy: [Checked(Expectation(name), 0, holds=holds, says=says)]})

    (suite,) = ET.fromstring(path.read_bytes())  # noqa: S314  # we wrote it
    (case,) = suite
    assert [suite.get("tests"), suite.get("failures")] == ["1", "0" if holds else "1"]
    for written, read in [(policy, suite.get("name")), (name, case.get("name"))]:
        assert read is not None
        assert read == written or not written.isprintable()
    assert [failure.tag for failure in case] == ([] if holds else ["failure"])
