"""Seeded schedules of faults: nothing is lost, wrong, stale or crossed, whatever happens.

`make chaos` runs many more. A seed that fails is repeated by `make chaos SEEDS=17`.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from chaos.many import Lanes
from chaos.run import Report
from chaos.schedule import FAULTS, draw

SEEDS = range(1, 61)
SIDE_BY_SIDE = 4
ENDS_WITHIN = 600.0

LOGS = Path(__file__).parents[2] / ".masswatch" / "chaos"


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> Iterator[dict[int, "Future[Report]"]]:
    """The reports of the seeds that this session asks for, as they come."""
    wanted = [
        item.callspec.params["seed"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    ]
    lanes = Lanes(min(SIDE_BY_SIDE, len(wanted)), LOGS)
    try:
        yield {seed: lanes.run(draw(seed)) for seed in wanted}
    finally:
        lanes.close()


@pytest.mark.stack
@pytest.mark.parametrize("seed", SEEDS)
def test_a_schedule_of_faults_ends_as_if_nothing_had_happened(
    seed: int, reports: dict[int, "Future[Report]"]
) -> None:
    report = reports[seed].result(ENDS_WITHIN)

    assert not report.faults, str(report)


def test_the_seeds_hold_every_fault() -> None:
    met = {step.fault for seed in SEEDS for step in draw(seed).steps}

    assert met == set(FAULTS)


def test_a_seed_says_the_same_each_time() -> None:
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
