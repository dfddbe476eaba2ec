"""One table of a result: `python -m tests.bench.table result.json`.

Medians, and the least to the most, over rounds. A ratio is taken within each round, to the first
row of its part, and then summed up.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from .measure import Spread

CODECS: Final = MappingProxyType({"none": "uncompressed", "lz4": "lz4", "zstd": "zstd"})


@dataclass(frozen=True, slots=True)
class Row:
    """One figure with its unit; the values of a second and the ratio only where they mean much."""

    part: str
    what: str
    figure: Spread
    form: str
    unit: str
    speed: Spread | None = None
    ratio: Spread | None = None


def main() -> None:
    """Print the table of a result."""
    [path] = sys.argv[1:]
    print("\n".join(lines(json.loads(Path(path).read_text()))))


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table in Markdown."""
    yield "| | measured | figure | records/s of wall time | ratio |"
    yield "|---|---|---|---|---|"
    part = ""
    for row in rows(result):
        shown = row.part if row.part != part else ""
        part = row.part
        figure = f"{row.figure.shown(row.form)} {row.unit}"
        speed = "" if row.speed is None else row.speed.shown(",.0f")
        ratio = "" if row.ratio is None else row.ratio.shown(".2f")
        yield f"| {shown} | {row.what} | {figure} | {speed} | {ratio} |"


def rows(result: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of every part that a result has."""
    for part, of_part in _PARTS.items():
        if part in result:
            yield from of_part(result[part])


def _throughput(found: Mapping[str, Any]) -> Iterator[Row]:
    for codec, one in found.items():
        yield from _reading(f"a record a value, {CODECS.get(codec, codec)}", one["rounds"])
    first = next(iter(found.values()))
    share = Spread.of([1000 * one for one in first["share_of_a_core_at_rest"]])
    yield Row("the worker at rest", "CPU a second", share, ".0f", "ms")


def _envelopes(found: Mapping[str, Any]) -> Iterator[Row]:
    for codec, one in found.items():
        yield from _reading(f"envelopes, {CODECS.get(codec, codec)}", one["rounds"])


def _scaling(found: Mapping[str, Any]) -> Iterator[Row]:
    yield from _reading("scaling", found["rounds"])


def _files(found: Mapping[str, Any]) -> Iterator[Row]:
    yield from _reading("JSON Lines", found["rounds"])
    memory = found["memory"]
    what = f"memory of the backtest, {memory['records']:,} records"
    yield Row("JSON Lines", what, Spread.of([memory["peak_mib"]]), ".0f", "MiB")


def _latency(found: Mapping[str, Any]) -> Iterator[Row]:
    for step, quantiles in found["milliseconds"].items():
        for name, value in quantiles.items():
            yield Row(f"until {step}", name, Spread.of([value]), ".0f", "ms")


def _changes(found: Mapping[str, Any]) -> Iterator[Row]:
    for change, one in found.items():
        part = f"alert readable while a worker {change}"
        for name, value in one["milliseconds"].items():
            yield Row(part, name, Spread.of([value]), ".0f", "ms")


def _memory(found: Sequence[Mapping[str, float]]) -> Iterator[Row]:
    first = found[0]["resident_mib"]
    for one in found:
        resident = Spread.of([one["resident_mib"]])
        growth = Spread.of([one["resident_mib"] / first])
        yield Row("memory", f"{one['records']:,} records", resident, ".0f", "MiB", ratio=growth)


def _starting(found: Mapping[str, Any]) -> Iterator[Row]:
    for name, what in (("first", "very first worker"), ("again", "worker that comes back")):
        yield Row("ready after", what, Spread.of(found[name]["seconds"]), ".2f", "s")


def _costs(found: Mapping[str, Any]) -> Iterator[Row]:
    alone = {f"{sort}, alone": cost for sort, cost in found["alone"].items()}
    for sort, cost in (found["sorts"] | alone).items():
        for server in ("worker", "kafka", "redis"):
            what = f"{server}: {sort}"
            yield Row("costs", what, Spread.of([cost[f"{server}_cpu"]]), ".2f", "µs of CPU")
        yield Row("costs", f"in Redis: {sort}", Spread.of([cost["redis_bytes"]]), ".0f", "bytes")
    for rate, shares in found["shares_of_a_core"].items():
        for server, share in shares.items():
            what = f"{server}: {rate} values/s"
            yield Row("costs", what, Spread.of([1000 * share]), ".0f", "ms of CPU a second")


def _flood(found: Mapping[str, Any]) -> Iterator[Row]:
    def of(name: str) -> Spread:
        return Spread.of([one[name] for one in found["rounds"]])

    yield Row("flood", "alerts a second of wall time", of("alerts_per_second"), ",.0f", "")
    cpu, redis = of("cpu_microseconds_per_alert"), of("redis_cpu_microseconds_per_alert")
    yield Row("flood", "worker, an alert", cpu, ".0f", "µs of CPU")
    yield Row("flood", "Redis, an alert", redis, ".0f", "µs of CPU")
    reads = [one["redis_reads"] / sum(one["batches"].values()) for one in found["rounds"]]
    yield Row("flood", "reads of Redis, a batch", Spread.of(reads), ".1f", "")


def _reading(part: str, rounds: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    cpu, speed = "cpu_microseconds_per_record", "records_per_second"
    first = next(iter(rounds[0]))
    for way in rounds[0]:
        yield Row(
            part,
            way,
            Spread.of([one[way][cpu] for one in rounds]),
            ".2f",
            "µs of CPU",
            Spread.of([one[way][speed] for one in rounds]),
            Spread.of([one[way][cpu] / one[first][cpu] for one in rounds]),
        )


_PARTS: Final[Mapping[str, Callable[[Any], Iterator[Row]]]] = MappingProxyType(
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

if __name__ == "__main__":
    main()
