"""Measures a worker on a local stack of its own, and others on the same records: `make bench`.

throughput: in each round one topic is written (audit events of 1.75 kB, one a value, 4 partitions,
one in a hundred with the needle, batches of 256 KiB) and read to its end by every way, one after
another, for each codec. The worker is whole: `masswatch worker` with its five agents, Redis, HTTP
and metrics. All ways decode what holds the needle; those records are such that decoding ignores
them (assignments to groups or as Available), so that no way is charged for evaluating. The records
lie in an open transaction until the worker has started and come to rest, and its CPU is counted
from their release until all are handled; the peers count their own from the assignment of the
partitions on, the libraries after their first 2,000 records (Quix Streams and lists of FastStream:
for 100,000, the slow ones: for 30,000). CPU is user and system time of all threads of a process.

envelopes: the same with 130 records a value, so that each holds a hit or two, against a bare loop
that parses each envelope whole.

scaling: the same records with two workers, and with 64 partitions, CPU of all workers together.

latency: one worker, 1,000 ordinary audit events a second, and every 50 ms a delegated admin's
assignment to all devices, sent with acks=all; the clock runs from just before the sending until a
read_committed consumer has the alert. changes: the same while a second worker joins and leaves.

starting: from the start of the process until /readyz says so, on servers that run.

memory: one worker reads on and on; what is resident after each count (`--memory`).

costs: what a record of each sort takes of the worker, Kafka and Redis, and what a steady rate
takes: the constants of the capacity model (docs/capacity.md, `python -m tests.bench.day`).

files: the same records as JSON Lines, with facts of which each is another, judged by one process
of the backtest and by DuckDB in one thread, interpreter and libraries loaded; all must find the
same. Then a larger file, of which the most memory is taken (`--events`).
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, Final

from pipeline.core.errors import ConfigError
from pipeline.localstack import Addresses, Stack, down, up
from pipeline.wiring import clock

from . import changes, costs, files, flood, latency, memory, report, starting, table
from .measure import machine
from .records import Load, ordinary_traffic
from .scaling import Scaling
from .throughput import IN_AN_ENVELOPE, OF_ENVELOPES, OF_RECORDS, Bench

FOLDER: Final = Path(".masswatch") / "bench"
_LOGS: Final = FOLDER / "logs"


def main() -> None:
    """Measure what was asked for, print it, and keep it as JSON."""
    asked = _asked()
    signal.signal(signal.SIGTERM, _end)
    if "throughput" in asked.only and not (asked.guests / "bin" / "python").exists():
        raise ConfigError(f"{asked.guests}: no Python there: `make bench` installs the others")
    stack = FOLDER / "stack"
    result: dict[str, Any] = {
        "machine": machine(),
        "options": {
            name: value for name, value in vars(asked).items() if name not in ("guests", "result")
        },
    }
    about = (f"- {name}: {value}" for name, value in result["machine"].items())
    _show("# Benchmark", (__doc__ or "").splitlines(), about)
    down(stack, purge=True)
    try:
        servers = up(stack, _progress, for_long=True)
        for name in asked.only:
            _progress(f"{name}: measuring")
            result[name] = _PARTS[name](servers, asked)
            _show(f"## {name}", table.lines({name: result[name]}))
            _keep(result, asked.result)
    finally:
        down(stack, purge=True)
        for each in FOLDER.glob("events.*"):
            each.unlink()
    if len(asked.only) > 1:
        _show("# All of it", table.lines(result))
    print(f"\nevery round: {asked.result}")


def _throughput(addresses: Addresses, asked: argparse.Namespace) -> dict[str, Any]:
    load = Load(ordinary_traffic(clock()), asked.records)
    bench = Bench(addresses, _LOGS, load, OF_RECORDS, asked.guests)
    return _by_codec(bench, asked.compression, asked.repeats)


def _envelopes(addresses: Addresses, asked: argparse.Namespace) -> dict[str, Any]:
    load = Load(ordinary_traffic(clock()), asked.records, in_one=IN_AN_ENVELOPE)
    bench = Bench(addresses, _LOGS, load, OF_ENVELOPES, asked.guests)
    return _by_codec(bench, asked.compression[:1], asked.repeats)


def _by_codec(bench: Bench, codecs: list[str], repeats: int) -> dict[str, Any]:
    found = {}
    for codec in codecs:
        rounds = []
        for number, one in enumerate(bench.rounds(codec, repeats), 1):
            rounds.append(one)
            shown = ", ".join(
                f"{way} {each.cpu_micros:.2f} µs" for way, each in one.results.items()
            )
            _progress(f"{codec}, round {number} of {repeats}: {shown}")
        found[codec] = report.throughput_json(rounds)
    return found


def _scaling(addresses: Addresses, asked: argparse.Namespace) -> dict[str, Any]:
    scaling = Scaling(addresses, _LOGS, Load(ordinary_traffic(clock()), asked.records))
    return report.scaling_json([*scaling.rounds(asked.repeats)])


def _latency(addresses: Addresses, asked: argparse.Namespace) -> dict[str, Any]:
    return report.latency_json(latency.measure(addresses, _LOGS, asked.alerts))


def _changes(addresses: Addresses, asked: argparse.Namespace) -> dict[str, Any]:
    return report.changes_json(changes.measure(addresses, _LOGS, asked.changes))


def _starting(addresses: Addresses, asked: argparse.Namespace) -> dict[str, Any]:
    return report.starting_json([*starting.rounds(addresses, _LOGS, asked.starts)])


def _memory(addresses: Addresses, asked: argparse.Namespace) -> list[dict[str, float]]:
    traffic = ordinary_traffic(clock())
    return report.memory_json([*memory.measure(addresses, _LOGS, traffic, asked.memory)])


def _flood(addresses: Addresses, asked: argparse.Namespace) -> dict[str, Any]:
    return report.flood_json([*flood.rounds(addresses, _LOGS, asked.flood, asked.repeats)])


def _costs(stack: Stack, asked: argparse.Namespace) -> dict[str, Any]:
    return costs.measure(stack, _LOGS, asked.facts)


def _files(_: Addresses, asked: argparse.Namespace) -> dict[str, Any]:
    path, start = FOLDER / "events.jsonl", clock()
    traffic = ordinary_traffic(start)
    files.write(path, traffic, asked.records, start)
    rounds = [*files.rounds(path, asked.records, asked.repeats)]
    files.write(path, traffic, asked.events, start)
    return report.files_json(rounds, files.judged(path, asked.processes))


_PARTS: Final[Mapping[str, Callable[[Stack, argparse.Namespace], Any]]] = MappingProxyType(
    {
        "throughput": _throughput,
        "envelopes": _envelopes,
        "scaling": _scaling,
        "latency": _latency,
        "changes": _changes,
        "starting": _starting,
        "memory": _memory,
        "costs": _costs,
        "flood": _flood,
        "files": _files,
    }
)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", choices=_PARTS, nargs="+", default=[*_PARTS], help="parts to measure")
    add("--records", type=int, default=300_000, help="on the topic of each round")
    add("--repeats", type=int, default=3, help="rounds of what is read")
    add(
        "--compression",
        choices=("none", "lz4", "zstd", "snappy", "gzip"),
        nargs="+",
        default=["none", "lz4", "zstd"],
        help="codecs of the topics; envelopes have the first",
    )
    add("--alerts", type=int, default=2_000, help="whose latency is taken")
    add("--flood", type=int, default=30_000, help="alerts of each flood")
    add("--changes", type=int, default=5, help="how often a worker joins and leaves")
    add("--starts", type=int, default=5, help="how often a worker starts")
    add(
        "--memory",
        type=int,
        nargs="+",
        default=[100_000, 1_000_000],
        help="counts of records after which memory is taken",
    )
    add("--facts", type=int, default=5_000, help="of each sort whose costs are taken")
    add("--events", type=int, default=1_000_000, help="in the file whose memory is taken")
    add("--processes", type=int, default=1, help="that judge that file")
    add("--guests", type=Path, default=Path(".venv/peers"), help="environment of other libraries")
    add("--result", default=str(FOLDER / "result.json"), help="where the JSON goes")
    return parser.parse_args()


def _keep(result: Mapping[str, Any], path: str) -> None:
    Path(path).write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def _show(title: str, *blocks: Iterable[str]) -> None:
    print("\n" + "\n\n".join((title, *("\n".join(block) for block in blocks))), flush=True)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
