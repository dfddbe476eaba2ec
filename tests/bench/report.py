"""The figures of a run as JSON: every round as it was, for `table` and other programs to sum up."""

from collections.abc import Mapping, Sequence
from typing import Any

from .changes import Changed
from .files import BACKTEST as OF_FILES
from .files import Judged
from .flood import Flooded
from .latency import STEPS, Course, Measured
from .measure import quantile
from .memory import Held
from .result import Result
from .starting import Started
from .throughput import Round

_SHARES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))


def throughput_json(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return every result, and what the worker takes besides."""
    return {
        "rounds": [_results(one.results) for one in rounds],
        "start_cpu_seconds": [one.start_cpu for one in rounds],
        "share_of_a_core_at_rest": [one.rest_share for one in rounds],
    }


def files_json(rounds: Sequence[Mapping[str, Result]], judged: Judged) -> dict[str, Any]:
    """Return every result on files, and the memory of the large one."""
    return {
        "rounds": [_results(one) for one in rounds],
        "alerts": rounds[0][OF_FILES].hits,
        "memory": {
            "records": judged.result.records,
            "alerts": judged.result.hits,
            "peak_mib": judged.peak_mib,
            "seconds": judged.result.seconds,
        },
    }


def latency_json(measured: Measured) -> dict[str, Any]:
    """Return the quantiles of every step in milliseconds, and the load."""
    return {
        "alerts": len(measured.courses),
        "milliseconds": {step: _quantiles(measured.courses, step) for step in STEPS},
        "background_values_per_second": measured.background_rate,
        "worker_share_of_a_core": measured.worker_share,
    }


def changes_json(changed: Changed) -> dict[str, Any]:
    """Return the quantiles of what was sent while a worker joined, and while one left."""
    return {
        name: {"alerts": len(courses), "milliseconds": _quantiles(courses, STEPS[-1])}
        for name, courses in (("joins", changed.joins), ("leaves", changed.leaves))
    }


def scaling_json(rounds: Sequence[Mapping[str, Result]]) -> dict[str, Any]:
    """Return every result of every setup."""
    return {"rounds": [_results(one) for one in rounds]}


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


def memory_json(held: Sequence[Held]) -> list[dict[str, float]]:
    """Return the memory after each count of records."""
    return [
        {"records": one.records, "resident_mib": one.resident, "most_mib": one.most} for one in held
    ]


def starting_json(rounds: Sequence[tuple[Started, Started]]) -> dict[str, Any]:
    """Return the seconds of each start, of the first worker and of one that comes back."""
    return {
        name: {
            "seconds": [one[place].seconds for one in rounds],
            "cpu_seconds": [one[place].cpu_seconds for one in rounds],
        }
        for place, name in enumerate(("first", "again"))
    }


def _results(results: Mapping[str, Result]) -> dict[str, Any]:
    return {
        way: {
            "cpu_microseconds_per_record": result.cpu_micros,
            "records_per_second": result.per_second,
            "records": result.records,
        }
        for way, result in results.items()
    }


def _quantiles(courses: Sequence[Course], step: str) -> dict[str, float]:
    ordered = sorted(course.after(step) for course in courses)
    return {name: quantile(ordered, share) for name, share in _SHARES}
