"""Run schedules by their seeds: `PYTHONPATH=tests python -m chaos 17 18 19`."""

import argparse
import sys
import time
from pathlib import Path

from chaos.many import reports
from chaos.run import Report
from chaos.schedule import draw


def main() -> int:
    """Run what the command line asks for; 1 when a schedule came out wrong."""
    asked = argparse.ArgumentParser(prog="chaos", description=__doc__)
    asked.add_argument("seeds", nargs="*", type=int, help="seeds of schedules")
    asked.add_argument("--from", dest="first", type=int, default=1, help="first of the seeds")
    asked.add_argument("--count", type=int, default=0, help="how many seeds from there")
    asked.add_argument("--lanes", type=int, default=3, help="how many at once")
    asked.add_argument("--without", default="", help="a guard that workers lack: see tampering")
    asked.add_argument("--folder", type=Path, default=Path(".masswatch/chaos"), help="for logs")
    given = asked.parse_args()
    seeds = [*given.seeds, *range(given.first, given.first + given.count)]
    began, failed = time.monotonic(), list[Report]()
    for number, report in enumerate(
        reports(
            [draw(seed) for seed in seeds],
            given.lanes,
            given.folder.resolve(),
            guards_off=given.without,
        ),
        1,
    ):
        print(f"[{number}/{len(seeds)}] {report}", flush=True)
        if report.faults:
            failed.append(report)
    took = time.monotonic() - began
    print(f"{len(seeds)} schedules in {took:.0f} s: {len(failed)} came out wrong")
    for report in failed:
        print(f"  seed {report.schedule.seed}: {len(report.faults)} faults: {report.faults[0]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
