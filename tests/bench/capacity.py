"""The capacity model: `python -m tests.bench.capacity result.json --tenants 10 1000 100000`.

What a day of a tenant takes, from measured costs (`python -m tests.bench --only costs`). The
formulae are explained in `docs/capacity.md`; `python -m tests.bench.day` checks them.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import cos, pi
from pathlib import Path
from typing import Any, Final, Self

DAY: Final = 86_400.0
KEPT_DAYS: Final = 23 + 3
"""Days that Redis keeps a fact: windows, lateness, tolerated lag."""

HISTORY_DAYS: Final = 113
EVALUATIONS_DAYS: Final = 7
ALERT_DAYS: Final = 400
_SWING: Final = 0.8
"""The rate at midday is 1.8 times the mean, that at midnight 0.2 times."""

_STEPS: Final = 288


@dataclass(frozen=True, slots=True)
class Volume:
    """What comes in a day.

    Attributes:
        values: Kafka values of all source topics.
        records: The records in them.
        source_bytes: What they take on a broker's disk, as they are compressed there.
        opened: Records of values that the sieve lets through.
        facts: Records that are evidence.
        assignments: Records that make an app Required for everybody.
        evaluations: Verdicts: one for each assignment, and one for each fact that touches one.
        revisions: Of alerts, as they are published.
        alerts: Assignments that have a reason.
    """

    values: float
    records: float
    source_bytes: float
    opened: float
    facts: float
    assignments: float
    evaluations: float
    revisions: float
    alerts: float

    def times(self, factor: float) -> Self:
        """Return so many times the volume."""
        return type(self)(**{name: value * factor for name, value in asdict(self).items()})


@dataclass(frozen=True, slots=True)
class Needs:
    """What a volume takes: seconds of CPU, shares of a core, bytes.

    `rebuild_cpu` is for reading again all days that Redis keeps.
    """

    worker_cpu: float
    worker_cpu_peak_share: float
    kafka_cpu: float
    redis_cpu: float
    redis_bytes: float
    source_bytes: float
    evaluations_bytes: float
    alerts_bytes: float
    worker_bytes: float
    rebuild_cpu: float


@dataclass(frozen=True, slots=True)
class Model:
    """The measured costs, as `costs` hands them over.

    `are_alone` says whether each fact has a batch of its own, as in life, or shares it with many.
    """

    costs: Mapping[str, Any]
    are_alone: bool = True

    def of_day(self, volume: Volume, seconds: float = DAY) -> Needs:
        """Return what a volume takes that comes within so many seconds, most of it in the middle.

        Bytes are those that come in this time; CPU is of all that runs for it.
        """
        rate = volume.values / seconds
        peak = volume.times(1 + _SWING)
        return Needs(
            worker_cpu=self._cpu("worker", volume, rate, seconds),
            worker_cpu_peak_share=self._cpu("worker", peak, peak.values / seconds, seconds, 0.0)
            / seconds,
            kafka_cpu=self._cpu("kafka", volume, rate, seconds),
            redis_cpu=self._cpu("redis", volume, rate, seconds),
            redis_bytes=volume.facts * self._sort("risk", "redis_bytes")
            + volume.assignments * self._sort("alert", "redis_bytes"),
            source_bytes=volume.source_bytes,
            evaluations_bytes=volume.evaluations * self._alone("alert", "evaluations_bytes"),
            alerts_bytes=volume.revisions * self._alone("alert", "alerts_bytes"),
            worker_bytes=self.costs["worker_bytes_warm"]
            + volume.alerts * self._sort("alert", "worker_bytes"),
            rebuild_cpu=self._to_rebuild(volume) * KEPT_DAYS,
        )

    def _to_rebuild(self, volume: Volume) -> float:
        """Return the seconds of CPU to read a volume again, many records at once."""
        micros = (
            (volume.records - volume.opened) * self._sort("sieved, 130 a value", "worker_cpu")
            + volume.opened * self._sort("opened, 130 a value", "worker_cpu")
            + (volume.facts + volume.assignments) * self._sort("risk", "worker_cpu")
        )
        return micros / 1e6

    def share(self, server: str, rate: float) -> float:
        """Return the share of a core at a steady rate of values a second, one record each.

        Between two rates that were measured it is a line, beyond the last one it goes on by what
        a record takes when many come at once.
        """
        shares = self.costs["shares_of_a_core"]
        points = sorted((float(at), found[server]) for at, found in shares.items())
        for (before, low), (after, high) in pairwise(points):
            if rate <= after:
                return float(low + (high - low) * (rate - before) / (after - before))
        last, share = points[-1]
        more = self._sort("sieved, a record a value", f"{server}_cpu") / 1e6
        return float(share + more * (rate - last))

    def _cpu(
        self, server: str, volume: Volume, rate: float, seconds: float, swing: float = _SWING
    ) -> float:
        """Add up what comes by the rhythm of the day, and what is more than a sieved record."""
        name = f"{server}_cpu"
        paced = sum(
            self.share(server, rate * (1 - swing * cos(2 * pi * (step + 0.5) / _STEPS)))
            for step in range(_STEPS)
        )
        sieved = self._sort("sieved, 130 a value", name)
        take = self._alone if self.are_alone else self._sort
        fact = take("risk", name)
        evaluation = max(0.0, take("assignment without a reason", name) - fact)
        revision = max(0.0, take("alert", name) - fact - evaluation)
        more = (
            (volume.records - volume.values) * sieved
            + (volume.opened - volume.facts - volume.assignments)
            * max(0.0, self._sort("opened, 130 a value", name) - sieved)
            + (volume.facts + volume.assignments) * fact
            + volume.evaluations * evaluation
            + volume.revisions * revision
        )
        return paced / _STEPS * seconds + more / 1e6

    def _sort(self, sort: str, name: str) -> float:
        return float(self.costs["sorts"][sort][name])

    def _alone(self, sort: str, name: str) -> float:
        return float(self.costs["alone"][sort][name])


@dataclass(frozen=True, slots=True)
class Prices:
    """Assumptions, of any currency: an hour of a core, a month of a GB of memory and of disk."""

    core_hour: float = 0.04
    memory_month: float = 3.0
    disk_month: float = 0.10
    replicas: int = 3


def with_alerts(volume: Volume, alerts: float) -> Volume:
    """Return the volume with another count of alerts, and assignments in proportion."""
    factor = alerts / volume.alerts
    return replace(
        volume,
        assignments=volume.assignments * factor,
        evaluations=volume.evaluations * factor,
        revisions=volume.revisions * factor,
        alerts=alerts,
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes at rest, when the days that each thing is kept have passed."""

    redis: float
    topics: float
    alerts_in_workers: float


def kept(model: Model, volume: Volume, replicas: int) -> Kept:
    """Return what lies in Redis, on the brokers' disks and in the memory of all workers."""
    needs = model.of_day(volume)
    topics = (
        needs.source_bytes * HISTORY_DAYS
        + needs.evaluations_bytes * EVALUATIONS_DAYS
        + needs.alerts_bytes * ALERT_DAYS
    )
    after_all = model.of_day(volume.times(ALERT_DAYS)).worker_bytes
    return Kept(needs.redis_bytes * KEPT_DAYS, topics * replicas, after_all)


def cost_of_month(model: Model, volume: Volume, prices: Prices) -> float:
    """Return what 30 such days cost: what is used, not what is reserved."""
    needs, at_rest = model.of_day(volume), kept(model, volume, prices.replicas)
    hours = (needs.worker_cpu + needs.kafka_cpu + needs.redis_cpu) / 3600 * 30
    memory = (at_rest.redis + at_rest.alerts_in_workers) / 1e9
    return (
        hours * prices.core_hour
        + memory * prices.memory_month
        + at_rest.topics / 1e9 * prices.disk_month
    )


def lines(model: Model, of_tenant: Volume, counts: Sequence[int], prices: Prices) -> Iterator[str]:
    """Yield a table of what so many tenants take."""
    columns = [
        "tenants",
        "values/s, mean",
        "worker, cores: mean, midday",
        "Kafka, cores",
        "Redis, cores",
        "Redis, GB",
        "topics, GB",
        "workers' memory, GB",
        "rebuild, CPU",
        "money a month",
    ]
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for count in counts:
        volume = of_tenant.times(count)
        needs, at_rest = model.of_day(volume), kept(model, volume, prices.replicas)
        cells = [
            f"{count:,}",
            f"{volume.values / DAY:,.2f}",
            f"{needs.worker_cpu / DAY:.3f}, {needs.worker_cpu_peak_share:.3f}",
            f"{needs.kafka_cpu / DAY:.3f}",
            f"{needs.redis_cpu / DAY:.3f}",
            f"{at_rest.redis / 1e9:,.3f}",
            f"{at_rest.topics / 1e9:,.1f}",
            f"{at_rest.alerts_in_workers / 1e9:,.2f}",
            f"{needs.rebuild_cpu:,.0f} s",
            f"{cost_of_month(model, volume, prices):,.2f}",
        ]
        yield f"| {' | '.join(cells)} |"


def constant_lines(costs: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of what a record of each sort takes, and that of the shares of a core."""
    columns = [
        "a record",
        "worker, µs",
        "Kafka, µs",
        "Redis, µs",
        "worker, bytes",
        "Redis, bytes",
        "evaluations, bytes",
        "alerts, bytes",
    ]
    names = [
        *("worker_cpu", "kafka_cpu", "redis_cpu", "worker_bytes", "redis_bytes"),
        *("evaluations_bytes", "alerts_bytes"),
    ]
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for part, when in (("sorts", "at once"), ("alone", "alone")):
        for sort, cost in costs[part].items():
            cells = [f"{cost[name]:,.{0 if cost[name] >= 100 else 1}f}" for name in names]
            yield f"| {sort}, {when} | {' | '.join(cells)} |"
    yield ""
    shares = costs["shares_of_a_core"]
    rates = sorted(shares, key=float)
    yield f"| values/s | {' | '.join(rates)} |"
    yield "|" + "---|" * (len(rates) + 1)
    for server in ("worker", "kafka", "redis"):
        cells = [f"{1000 * shares[rate][server]:.0f}" for rate in rates]
        yield f"| {server} | {' | '.join(cells)} |"


def main() -> None:
    """Print the volume of a tenant, the constants, and what so many tenants take."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capacity", description=__doc__)
    parser.add_argument("costs", type=Path, help="a result with the part `costs`")
    parser.add_argument("day", type=Path, help="a result of tests.bench.day")
    parser.add_argument("--tenants", type=int, nargs="+", default=[10, 1_000, 100_000])
    parser.add_argument("--times", type=float, default=1.0, help="the volume, so many times")
    parser.add_argument(
        "--alerts", type=float, help="a day and tenant; the day has far more than life"
    )
    for name, value in asdict(Prices()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    asked = parser.parse_args()
    measured = json.loads(asked.costs.read_text())
    model = Model(measured["costs"])
    found = json.loads(asked.day.read_text())
    of_tenant = Volume(**found["volume"]).times(1 / found["tenants"])
    print(", ".join(f"{name} {value:,.2f}" for name, value in asdict(of_tenant).items()))
    print(", ".join(f"{name}: {value}" for name, value in measured["machine"].items()), end="\n\n")
    print("\n".join(constant_lines(model.costs)), end="\n\n")
    of_tenant = of_tenant.times(asked.times)
    if asked.alerts is not None:
        of_tenant = with_alerts(of_tenant, asked.alerts)
    prices = Prices(**{name: getattr(asked, name) for name in asdict(Prices())})
    print("\n".join(lines(model, of_tenant, asked.tenants, prices)))


if __name__ == "__main__":
    main()
