"""Take out one guard at a time and see a schedule fail: `PYTHONPATH=tests python -m chaos.guards`.

A harness that has never found anything may be one that cannot.
"""

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

from chaos.many import reports
from chaos.schedule import draw

BITES: Final = {
    "no_books": ("a worker is killed while redis is frozen",),
    "no_fencing": (
        "a worker sleeps before it publishes",
        "a worker sleeps before it commits a transaction",
    ),
    "no_waiting_for_deliveries": ("a worker is killed with deliveries on their way",),
    "no_store_marks": ("redis is flushed", "redis is killed"),
}
"""Each guard, and faults that it answers."""

SEEDS: Final = range(1, 9)


def main() -> int:
    """Run schedules without each guard until one comes out wrong; 1 when none does."""
    asked = argparse.ArgumentParser(prog="chaos.guards", description=__doc__)
    asked.add_argument("guards", nargs="*", default=[*BITES], help="which to take out")
    asked.add_argument("--lanes", type=int, default=3, help="how many schedules at once")
    asked.add_argument("--folder", type=Path, default=Path(".masswatch/chaos"), help="for logs")
    given = asked.parse_args()
    toothless = 0
    for guard in given.guards:
        faults = BITES[guard]
        schedules = [draw(seed, faults[seed % len(faults)]) for seed in SEEDS]
        running = reports(schedules, given.lanes, given.folder.resolve(), guards_off=guard)
        with closing(running):
            bitten = next((report for report in running if report.faults), None)
            print(f"{guard}: {bitten or 'NO SCHEDULE CAME OUT WRONG'}", flush=True)
        toothless += bitten is None
    return 1 if toothless else 0


if __name__ == "__main__":
    sys.exit(main())
