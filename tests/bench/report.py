"""The figures of a run, as tables in Markdown for people and as JSON for programs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .files import BACKTEST as OF_FILES
from .files import DUCKDB, Judged
from .files import WAYS as WAYS_OF_FILES
from .flood import Flooded
from .latency import STEPS, Measured
from .measure import Spread, quantile
from .result import Result
from .throughput import BACKTEST, BARE, FAUST, WAYS, WORKER, Round

_SHARES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))


def throughput_json(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return every result and the ratios of the worker."""
    return {
        "rounds": [
            {
                way: {
                    "cpu_microseconds_per_record": result.cpu_micros,
                    "records_per_second": result.per_second,
                    "records": result.records,
                }
                for way, result in one.results.items()
            }
            for one in rounds
        ],
        "worker": {
            "start_cpu_seconds": [one.start_cpu for one in rounds],
            "share_of_a_core_at_rest": [one.rest_share for one in rounds],
        },
        "cpu_of_others_over_worker": {
            way: [_ratio(one, way) for one in rounds] for way in WAYS if way != WORKER
        },
    }


def throughput_lines(rounds: Sequence[Round]) -> Iterator[str]:
    """Yield the table of throughput, median and range of all rounds."""
    yield "| way | CPU per record, µs | records/s of time | its CPU / the worker's |"
    yield "|---|---|---|---|"
    for way in WAYS:
        results = [one.results[way] for one in rounds]
        cpu = Spread.of([one.cpu_micros for one in results]).shown(".2f")
        speed = Spread.of([one.per_second for one in results]).shown(",.0f")
        ratio = Spread.of([_ratio(one, way) for one in rounds]).shown(".2f")
        yield f"| {way} | {cpu} | {speed} | {'1' if way == WORKER else ratio} |"
    faust = Spread.of([_ratio(one, FAUST) for one in rounds]).median
    bare = Spread.of([_ratio(one, BARE) for one in rounds]).median
    start = Spread.of([one.start_cpu for one in rounds]).shown(".1f")
    rest = Spread.of([1000 * one.rest_share for one in rounds]).shown(".0f")
    yield ""
    yield f"- against plain Faust: {faust:.1f} times less CPU per record (wanted: 15)"
    yield f"- against the bare loop: {bare:.2f} of its CPU efficiency (wanted: 0.5)"
    backtest = Spread.of(
        [one.results[BARE].cpu_micros / one.results[BACKTEST].cpu_micros for one in rounds]
    ).shown(".2f")
    yield f"- the backtest against the bare loop: {backtest} of its CPU efficiency (wanted: 0.6)"
    yield f"- the worker besides: {start} s of CPU to start, {rest} ms a second at rest"


def files_json(rounds: Sequence[Mapping[str, Result]], judged: Judged) -> dict[str, Any]:
    """Return every result on files, and the memory of the large one."""
    return {
        "rounds": [
            {
                way: {
                    "cpu_microseconds_per_record": result.cpu_micros,
                    "records_per_second": result.per_second,
                }
                for way, result in one.items()
            }
            for one in rounds
        ],
        "records": rounds[0][OF_FILES].records,
        "alerts": rounds[0][OF_FILES].hits,
        "memory": {"records": judged.result.records, "peak_mib": judged.peak_mib},
    }


def files_lines(rounds: Sequence[Mapping[str, Result]], judged: Judged) -> Iterator[str]:
    """Yield the table of files, median and range of all rounds."""
    yield "| way | CPU per record, µs | records/s of time |"
    yield "|---|---|---|"
    for way in WAYS_OF_FILES:
        cpu = Spread.of([one[way].cpu_micros for one in rounds]).shown(".2f")
        speed = Spread.of([one[way].per_second for one in rounds]).shown(",.0f")
        yield f"| {way} | {cpu} | {speed} |"
    times = Spread.of([one[OF_FILES].per_second / one[DUCKDB].per_second for one in rounds]).shown(
        ".1f"
    )
    yield ""
    hits = rounds[0][OF_FILES].hits
    yield f"- {times} times as fast as DuckDB without a filter; all found the same {hits} alerts"
    yield (
        f"- {judged.result.records:,} records: {judged.result.hits:,} alerts, "
        f"{judged.peak_mib:,.0f} MiB at most, in {judged.result.seconds:.0f} s"
    )


def latency_json(measured: Measured) -> dict[str, Any]:
    """Return the quantiles of every step in milliseconds, and the load."""
    return {
        "alerts": len(measured.courses),
        "milliseconds": {step: _quantiles(measured, step) for step in STEPS},
        "background_values_per_second": measured.background_rate,
        "worker_share_of_a_core": measured.worker_share,
    }


def latency_lines(measured: Measured) -> Iterator[str]:
    """Yield the table of latency, step by step."""
    yield "| ms from just before the sending, until | p50 | p90 | p99 | max |"
    yield "|---|---|---|---|---|"
    for step in STEPS:
        cells = " | ".join(f"{round(value)}" for value in _quantiles(measured, step).values())
        yield f"| {step} | {cells} |"
    yield ""
    yield (
        f"- {len(measured.courses)} alerts, {measured.background_rate:,.0f} values a second read "
        f"beside them, the worker at {measured.worker_share:.0%} of a core"
    )


def flood_json(floods: Sequence[Flooded]) -> dict[str, Any]:
    """Return what every flood took."""
    return {
        "alerts": floods[0].alerts,
        "rounds": [
            {
                "alerts_per_second": one.per_second,
                "cpu_microseconds_per_alert": one.cpu_micros,
                "redis_cpu_microseconds_per_alert": one.redis_cpu_seconds / one.alerts * 1e6,
                "redis_commands": dict(one.commands),
                "redis_reads": one.reads,
                "batches": dict(one.batches),
            }
            for one in floods
        ],
    }


def flood_lines(floods: Sequence[Flooded]) -> Iterator[str]:
    """Yield the figures of floods, median and range of all rounds."""
    per_second = Spread.of([one.per_second for one in floods]).shown(",.0f")
    cpu = Spread.of([one.cpu_micros for one in floods]).shown(".0f")
    redis = Spread.of([one.redis_cpu_seconds / one.alerts * 1e6 for one in floods]).shown(".0f")
    commands = Spread.of([sum(one.commands.values()) / one.alerts for one in floods]).shown(".1f")
    batches = Spread.of([sum(one.batches.values()) for one in floods]).shown(".0f")
    reads = Spread.of([one.reads / sum(one.batches.values()) for one in floods]).shown(".1f")
    yield f"- {per_second} alerts a second (wanted: 1,500), none lost, none twice, none wrong"
    yield f"- {cpu} µs of the worker's CPU per alert, {redis} µs of Redis"
    yield f"- {commands} commands of Redis per alert, {reads} reads of its per batch"
    yield f"- {batches} batches of all agents"


def machine_lines(machine: Mapping[str, str]) -> Iterator[str]:
    """Yield where and when the figures were taken."""
    for name, value in machine.items():
        yield f"- {name}: {value}"


def _ratio(one: Round, way: str) -> float:
    return one.results[way].cpu_micros / one.results[WORKER].cpu_micros


def _quantiles(measured: Measured, step: str) -> dict[str, float]:
    ordered = sorted(course.after(step) for course in measured.courses)
    return {name: quantile(ordered, share) for name, share in _SHARES}
