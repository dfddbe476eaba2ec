"""Seeded schedules of faults: nothing is lost, wrong, stale or crossed, whatever happens.

`make chaos` runs many more. A seed that fails is repeated by `make chaos SEEDS=17`.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from chaos.many import Lanes
from chaos.run import Report
from chaos.schedule import FAULTS, Schedule, draw
from chaos.sending import Means, Sending

SEEDS = range(1, 61)
REGRESSIONS = {
    # A rebuild went by the clock of its machine, 400 days ahead, and read nothing.
    "a rebuild by a wrong clock": replace(
        draw(9183), sending=Sending(Means.PLAIN, "zstd", seconds=12.0, ahead=0.0)
    ),
}
SIDE_BY_SIDE = 4
ENDS_WITHIN = 600.0

LOGS = Path(__file__).parents[2] / ".masswatch" / "chaos"


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> Iterator[dict[int, "Future[Report]"]]:
    """The reports of the schedules that this session asks for, as they come."""
    wanted: list[Schedule] = [
        item.callspec.params["schedule"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    ]
    lanes = Lanes(min(SIDE_BY_SIDE, len(wanted)), LOGS)
    try:
        yield {schedule.seed: lanes.run(schedule) for schedule in wanted}
    finally:
        lanes.close()


@pytest.mark.stack
@pytest.mark.parametrize(
    "schedule",
    [*map(draw, SEEDS), *REGRESSIONS.values()],
    ids=[*(f"seed {seed}" for seed in SEEDS), *REGRESSIONS],
)
def test_a_schedule_of_faults_ends_as_if_nothing_had_happened(
    schedule: Schedule, reports: dict[int, "Future[Report]"]
) -> None:
    report = reports[schedule.seed].result(ENDS_WITHIN)

    assert not report.faults, str(report)


def test_the_seeds_hold_every_fault() -> None:
    met = {step.fault for seed in SEEDS for step in draw(seed).steps}

    assert met == set(FAULTS)


def test_a_seed_says_the_same_each_time() -> None:
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
