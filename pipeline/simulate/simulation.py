"""A simulation: seeded traffic, and what must come of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Final

from pipeline.core.errors import ConfigError
from pipeline.core.event_time import EventTime, parse_event_time, ticks
from pipeline.simulate.cases import CASES, Ground, plant
from pipeline.simulate.delivery import Arrival, Kind
from pipeline.simulate.dice import dice
from pipeline.simulate.expected import Alerts, ExpectedDeadLetter, Ledger, Mode
from pipeline.simulate.moments import later
from pipeline.simulate.planting import Planting
from pipeline.simulate.spoiled import spoiled
from pipeline.simulate.story import tell
from pipeline.simulate.tenants import Tenant, draw_partners, draw_tenants
from pipeline.simulate.traffic import (
    COPIED_IN,
    GRAPH_PER_AUDIT,
    NEIGHBOURS_PER_AUDIT,
    SLOT,
    Day,
    Traffic,
)

DEFAULT_START: Final = "2026-03-02T00:00:00Z"
_AUDIT_EVENTS_PER_CASE: Final = 250
_AUDIT_EVENTS_PER_USER: Final = 40
_RECORDS_PER_AUDIT_EVENT: Final = (1 + GRAPH_PER_AUDIT) * (1 + 1 / COPIED_IN) + (
    NEIGHBOURS_PER_AUDIT + 1 / _AUDIT_EVENTS_PER_USER
)


def _default_start() -> EventTime:
    start = parse_event_time(DEFAULT_START)
    if start is None:
        raise ValueError(f"{DEFAULT_START}: not a moment")
    return start


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate; the same plan gives the same bytes.

    `audit_events` are those of the background over `duration`; the planted ones come on top, as
    do all other tables. `malformed` is how many records are spoiled. Without `many_lines` no
    value holds a newline, so that a file can hold one value a line. The story's first steps come
    before everything else, its later ones at the end.

    Raises:
        ConfigError: there are too few tenants.
    """

    seed: int = 1
    tenants: int = 24
    audit_events: int = 50_000
    start: EventTime = field(default_factory=_default_start)
    duration: timedelta = timedelta(days=1)
    malformed: int = 0
    many_lines: bool = True
    story: bool = False

    def __post_init__(self) -> None:
        if self.tenants < 2:
            raise ConfigError(f"tenants: {self.tenants}: take 2 or more: some cases need two")


class Simulation:
    """Iterate over it for the values in order of arrival; every pass gives the same ones."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tenants: Sequence[Tenant] = ()
        self.scenes = tell(plan.start, plan.seed) if plan.story else ()
        self._planting = Planting(dice(plan.seed, "planting"))
        self._dead_letters: tuple[ExpectedDeadLetter, ...] | None = None
        if plan.audit_events:
            self._populate()

    @property
    def ledger(self) -> Ledger:
        """What was planted, and so what must come."""
        return self._planting.ledger

    @cached_property
    def labels(self) -> dict[tuple[str, str], str]:
        """The case of each assignment, by tenant and audit event, those that stay quiet too."""
        told = {(scene.tenant.id, scene.audit_event_id): scene.name for scene in self.scenes}
        return self.ledger.labels() | told

    def expected(self, mode: Mode = Mode.REPAIRED) -> Alerts:
        """Return the alerts that must come, by tenant and audit event."""
        alerts = self.ledger.alerts(mode)
        for scene in self.scenes:
            if (alert := scene.expected[-1][mode]) is not None:
                alerts[scene.tenant.id] = {scene.audit_event_id: alert}
        return alerts

    @property
    def dead_letters(self) -> tuple[ExpectedDeadLetter, ...]:
        """The dead letters that must come; known only after a whole pass over the values.

        Raises:
            RuntimeError: there was no such pass yet.
        """
        if self._dead_letters is None:
            raise RuntimeError("simulation: dead letters not known yet: iterate over it first")
        return self._dead_letters

    @property
    def about_records(self) -> int:
        """Roughly how many records there are, to show progress by."""
        planted = len(self._planting.deliveries)
        planted += sum(one.records for scene in self.scenes for step in scene.steps for one in step)
        return planted + round(self.plan.audit_events * _RECORDS_PER_AUDIT_EVENT)

    def __iter__(self) -> Iterator[Arrival]:
        ordinals = dict.fromkeys(Kind, 0)
        for arrival in self._told(slice(1)):
            ordinals[arrival.kind] += 1
            yield arrival
        dead_letters: list[ExpectedDeadLetter] = []
        for kind, value in self._traffic():
            for index, reason in value.faults:
                dead_letters.append(ExpectedDeadLetter(kind, ordinals[kind], index, reason))
            ordinals[kind] += 1
            yield Arrival(kind, value.data, value.records)
        self._dead_letters = tuple(dead_letters)
        yield from self._told(slice(1, None))

    def _told(self, steps: slice) -> Iterator[Arrival]:
        for scene in self.scenes:
            for step in scene.steps[steps]:
                yield from step

    def _traffic(self) -> Traffic:
        plan = self.plan
        day = Day(plan.start, ticks(plan.duration) // SLOT, plan.audit_events)
        return Traffic(
            dice(plan.seed, "traffic"),
            self.tenants,
            day,
            self._planting.deliveries,
            many_lines=plan.many_lines,
        )

    def _populate(self) -> None:
        plan, chance = self.plan, self._planting.chance
        people = plan.audit_events // _AUDIT_EVENTS_PER_USER
        self.tenants = draw_tenants(dice(plan.seed, "tenants"), plan.tenants, people)
        partners = draw_partners(dice(plan.seed, "partners"))
        count = max(len(CASES), plan.audit_events // _AUDIT_EVENTS_PER_CASE)
        span = ticks(plan.duration)
        for number in range(count):
            tenant, elsewhere = chance.sample(self.tenants, 2)
            ground = Ground(
                planting=self._planting,
                tenant=tenant,
                elsewhere=elsewhere,
                partner=chance.choice(partners),
                who=self._planting.newcomer(tenant.domain),
                time=later(plan.start, chance.randrange(span)),
            )
            plant(CASES[number % len(CASES)], ground)
        for _ in range(plan.malformed):
            time = later(plan.start, chance.randrange(span))
            tenant = chance.choice(self.tenants)
            self._planting.deliveries.append(spoiled(chance, tenant, time))


def generate(plan: Plan) -> Simulation:
    """Plan a simulation: who does what is decided now, the records are written on iteration."""
    return Simulation(plan)
