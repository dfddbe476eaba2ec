"""Measures throughput and latency on a local stack of its own, in one command: `make bench`.

Throughput: in each round one topic is written (audit events of 1.75 kB, one a value, 4 partitions,
one in a hundred with the needle, batches of 256 KiB) and read to its end by every way, one after
another. The worker is whole: `masswatch worker` with its five agents, Redis, HTTP and metrics. All
ways decode what holds the needle; those records are such that decoding ignores them (assignments
to groups or as Available), so that no way is charged for evaluating. The records lie in an open
transaction until the worker has started and come to rest, and its CPU is counted from their
release until all are handled; the peers count their own from the assignment of the partitions on
(Faust: after its first 2,000 records). CPU is user and system time of all threads of a process.

Files: the same records as JSON Lines, with facts of which each is another, judged by one process
of the backtest and by DuckDB in one thread, interpreter and libraries loaded; all must find the
same. Then a larger file, of which the most memory is taken (`--events`).

Latency: one worker, 1,000 ordinary audit events a second, and every 100 ms a delegated admin's
assignment to all devices, sent with acks=all; the clock runs from just before the sending until a
read_committed consumer has the alert.
"""

import argparse
import json
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from pipeline.localstack import Addresses, down, up
from pipeline.wiring import clock

from . import files, flood, latency, report
from .measure import machine
from .records import ordinary_traffic
from .throughput import Bench, Round

FOLDER: Final = Path(".masswatch") / "bench"


def main() -> None:
    """Measure what was asked for, print it, and keep it as JSON."""
    asked = _asked()
    signal.signal(signal.SIGTERM, _end)
    stack = FOLDER / "stack"
    result: dict[str, Any] = {
        "machine": machine(),
        "options": {name: value for name, value in vars(asked).items() if value is not None},
    }
    path = FOLDER / "events.jsonl"
    _show("# Benchmark", (__doc__ or "").splitlines(), report.machine_lines(result["machine"]))
    down(stack, purge=True)
    try:
        addresses = up(stack, _progress, for_long=True)
        if asked.only in (None, "files"):
            result["files"] = _files(path, asked)
        if asked.only in (None, "throughput"):
            rounds = _throughput(addresses, asked)
            result["throughput"] = report.throughput_json(rounds)
            title = f"## Throughput: {asked.records:,} records, compression {asked.compression}"
            _show(title, report.throughput_lines(rounds))
        if asked.only in (None, "latency"):
            measured = latency.measure(addresses, FOLDER / "logs", asked.alerts)
            result["latency"] = report.latency_json(measured)
            _show("## Latency", report.latency_lines(measured))
        if asked.only in (None, "flood"):
            floods = list(flood.rounds(addresses, FOLDER / "logs", asked.flood, asked.repeats))
            result["flood"] = report.flood_json(floods)
            _show(f"## Flood: {asked.flood:,} alerts", report.flood_lines(floods))
    finally:
        down(stack, purge=True)
        for each in FOLDER.glob("events.*"):
            each.unlink()
    kept = FOLDER / "result.json"
    kept.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\nall of it: {kept}")


def _files(path: Path, asked: argparse.Namespace) -> dict[str, Any]:
    start = clock()
    traffic = ordinary_traffic(start)
    files.write(path, traffic, asked.records, start)
    rounds = list(files.rounds(path, asked.records, asked.repeats))
    files.write(path, traffic, asked.events, start)
    judged = files.judged(path, asked.processes)
    title = f"## Files: {asked.records:,} records, {asked.events:,} for the memory"
    _show(title, report.files_lines(rounds, judged))
    return report.files_json(rounds, judged)


def _throughput(addresses: Addresses, asked: argparse.Namespace) -> list[Round]:
    bench = Bench(
        addresses,
        FOLDER / "logs",
        ordinary_traffic(clock()),
        asked.records,
        asked.compression,
    )
    rounds: list[Round] = []
    for number, one in enumerate(bench.rounds(asked.repeats), 1):
        rounds.append(one)
        shown = ", ".join(f"{way} {each.cpu_micros:.2f} µs" for way, each in one.results.items())
        _progress(f"round {number} of {asked.repeats}: {shown}")
    return rounds


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--records", type=int, default=300_000, help="on the topic of each round")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of throughput")
    parser.add_argument("--alerts", type=int, default=300, help="whose latency is taken")
    parser.add_argument("--flood", type=int, default=30_000, help="alerts of each flood")
    parser.add_argument(
        "--events", type=int, default=1_000_000, help="in the file whose memory is taken"
    )
    parser.add_argument("--processes", type=int, default=1, help="that judge that file")
    parser.add_argument("--only", choices=("files", "throughput", "latency", "flood"))
    parser.add_argument(
        "--compression", choices=("none", "lz4", "zstd", "snappy", "gzip"), default="none"
    )
    return parser.parse_args()


def _show(title: str, *blocks: Iterable[str]) -> None:
    print("\n" + "\n\n".join((title, *("\n".join(block) for block in blocks))), flush=True)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
