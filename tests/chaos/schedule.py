"""From a seed to a schedule: what is sent and how, and which faults come when."""

from dataclasses import dataclass
from random import Random

from chaos.history import Disturbance, Order
from chaos.sending import Means, Sending

from pipeline.core.evidence import Matching
from pipeline.simulate.simulation import Plan

FAULTS = (
    *("a worker is killed", "a worker is killed while redis is frozen"),
    *("a worker is killed with deliveries on their way", "a worker is stopped"),
    *("a worker sleeps past its session", "a worker sleeps before it publishes"),
    *("a worker sleeps before it commits a transaction", "a workers clock is wrong"),
    *("workers come and go", "kafka restarts", "kafka is killed", "kafka is away"),
    *("kafka is frozen", "kafkas disk is full"),
    *("redis restarts", "redis is killed", "redis is flushed", "redis is slow"),
    *("redis is frozen", "redis refuses writes", "redis is full"),
)
SECONDS_OF_SENDING = (5.0, 12.0)


@dataclass(frozen=True, slots=True)
class Step:
    """A fault, so many seconds after the one before has passed."""

    after: float
    fault: str

    def __str__(self) -> str:
        return f"{self.after:.1f} s later: {self.fault}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that a seed decides."""

    seed: int
    plan: Plan
    disturbance: Disturbance
    sending: Sending
    matching: Matching
    partitions: int
    workers: int
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        plan, values, sent = self.plan, self.disturbance, self.sending
        who = f"{self.workers} workers, {self.partitions} partitions, {self.matching} matching"
        traffic = f"{plan.tenants} tenants, {plan.audit_events} audit events"
        arrival = f"a crowd of {values.crowd}, {values.order}, {values.copied:.0%} twice"
        spoiled = f"{values.poison} poison, {values.large} of a megabyte"
        pace = f"{sent.codec}, in {sent.seconds:.0f} s, {sent.ahead:.0%} ahead"
        return "\n  ".join(
            [
                f"seed {self.seed}: {who}",
                f"{traffic}, {arrival}, {spoiled}",
                f"sent: {sent.means}, {pace}",
                *map(str, self.steps),
            ]
        )


def draw(seed: int, first: str | None = None) -> Schedule:
    """Draw the schedule of a seed; always the same one.

    Args:
        seed: Of all that is drawn.
        first: The fault that comes first; None: that of the seed.
    """
    chance = Random(f"schedule {seed}")
    means = chance.choices(list(Means), (6, 2, 1))[0]
    return Schedule(
        seed=seed,
        plan=Plan(
            seed=seed,
            tenants=chance.randint(3, 9),
            audit_events=chance.randint(100, 600),
            malformed=chance.randint(0, 12),
        ),
        disturbance=Disturbance(
            order=chance.choice(list(Order)),
            crowd=chance.randint(3, 12),
            copied=chance.choice((0.0, 0.1, 0.5)),
            poison=chance.randint(0, 30),
            large=chance.choice((0, 0, 2)),
        ),
        sending=Sending(
            means=means,
            codec=chance.choice(("none", "gzip", "snappy", "lz4", "zstd")),
            seconds=chance.uniform(*SECONDS_OF_SENDING),
            ahead=0.5 if means is Means.COMPACTED else chance.choice((0.0, 0.0, 0.3, 1.0)),
        ),
        matching=chance.choice((Matching.REPAIRED, Matching.REPAIRED, Matching.FAITHFUL)),
        partitions=chance.choice((4, 5, 8)),
        workers=chance.randint(1, 3),
        steps=_steps(first or FAULTS[seed % len(FAULTS)], chance),
    )


def _steps(first: str, chance: Random) -> tuple[Step, ...]:
    # Every fault comes first in one seed of so many; what else comes is chance.
    others = chance.sample(FAULTS, chance.randint(0, 2))
    return tuple(Step(chance.uniform(0.0, 3.0), fault) for fault in (first, *others))
