"""The capacity model: `python -m tests.bench.capacity result.json --tenants 10 1000 100000`.

What a day of a tenant takes, from measured costs (`python -m tests.bench --only costs`). The
formulae are explained in `docs/capacity.md`; `python -m tests.bench.day` checks them.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import cos, pi
from pathlib import Path
from typing import Any, Final, Self

DAY: Final = 86_400.0
KEPT_DAYS: Final = 23 + 3
"""Days that Redis keeps a fact: windows, lateness, tolerated lag."""

HISTORY_DAYS: Final = 113
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
    """What a volume takes: seconds of CPU, shares of a core, bytes."""

    worker_cpu: float
    worker_cpu_peak_share: float
    kafka_cpu: float
    redis_cpu: float
    redis_bytes: float
    source_bytes: float
    evaluations_bytes: float
    alerts_bytes: float
    worker_bytes: float


@dataclass(frozen=True, slots=True)
class Model:
    """The measured costs, as `costs` hands them over."""

    costs: Mapping[str, Any]

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
        )

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
        fact = self._alone("risk", name)
        evaluation = max(0.0, self._alone("assignment without a reason", name) - fact)
        revision = max(0.0, self._alone("alert", name) - fact - evaluation)
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


def cost_of_month(model: Model, volume: Volume, prices: Prices) -> dict[str, float]:
    """Return what 30 such days cost at rest: what is used, not what is reserved."""
    needs = model.of_day(volume)
    kept = (
        needs.source_bytes * HISTORY_DAYS
        + needs.evaluations_bytes * 7
        + needs.alerts_bytes * ALERT_DAYS
    )
    hours = (needs.worker_cpu + needs.kafka_cpu + needs.redis_cpu) / 3600 * 30
    alerts_kept = model.of_day(volume.times(ALERT_DAYS)).worker_bytes
    memory = (needs.redis_bytes * KEPT_DAYS + alerts_kept) / 1e9
    return {
        "cpu": hours * prices.core_hour,
        "memory": memory * prices.memory_month,
        "disk": kept / 1e9 * prices.replicas * prices.disk_month,
    }


def lines(model: Model, of_tenant: Volume, counts: list[int], prices: Prices) -> Iterator[str]:
    """Yield a table of what so many tenants take."""
    yield (
        "| tenants | values/s, mean | worker CPU, cores: mean, midday | Kafka CPU | Redis CPU "
        "| Redis, GB | topics with replicas, GB | alerts in workers, GB | money a month |"
    )
    yield "|" + "---|" * 9
    for count in counts:
        volume = of_tenant.times(count)
        needs = model.of_day(volume)
        money = cost_of_month(model, volume, prices)
        stored = needs.source_bytes * HISTORY_DAYS + needs.alerts_bytes * ALERT_DAYS
        resident = model.of_day(volume.times(ALERT_DAYS)).worker_bytes
        yield (
            f"| {count:,} | {volume.values / DAY:,.2f} "
            f"| {needs.worker_cpu / DAY:.3f}, {needs.worker_cpu_peak_share:.3f} "
            f"| {needs.kafka_cpu / DAY:.3f} | {needs.redis_cpu / DAY:.3f} "
            f"| {needs.redis_bytes * KEPT_DAYS / 1e9:,.2f} "
            f"| {stored * prices.replicas / 1e9:,.1f} | {resident / 1e9:,.2f} "
            f"| {sum(money.values()):,.2f} |"
        )


def main() -> None:
    """Print what so many tenants of the simulated day take."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capacity", description=__doc__)
    parser.add_argument("costs", type=Path, help="a result with the part `costs`")
    parser.add_argument("day", type=Path, help="a result of tests.bench.day")
    parser.add_argument("--tenants", type=int, nargs="+", default=[10, 1_000, 100_000])
    parser.add_argument(
        "--times", type=float, default=1.0, help="volume of a tenant, so many times"
    )
    for name, value in asdict(Prices()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    asked = parser.parse_args()
    model = Model(json.loads(asked.costs.read_text())["costs"])
    found = json.loads(asked.day.read_text())
    of_tenant = Volume(**found["volume"]).times(asked.times / found["tenants"])
    prices = Prices(**{name: getattr(asked, name) for name in asdict(Prices())})
    print("\n".join(lines(model, of_tenant, asked.tenants, prices)))


if __name__ == "__main__":
    main()
