"""The stream: a day's background with what was planted in it, packed, in order of arrival."""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import floor, pi, sin
from random import Random
from typing import Final

from pipeline.core.event_time import EventTime
from pipeline.simulate.background import (
    audit_event,
    behavior_rows,
    graph_request,
    identity_snapshot,
)
from pipeline.simulate.delivery import Delivery, Kind, delivered_again
from pipeline.simulate.dice import one_in
from pipeline.simulate.envelopes import Value, pack
from pipeline.simulate.moments import DAY, MILLISECOND, MINUTE, later
from pipeline.simulate.neighbour_records import neighbour_record
from pipeline.simulate.tenants import Person, Tenant

SLOT: Final = 5 * MINUTE
"""Intune hands over what it recorded in about five minutes."""

COPIED_IN: Final = 28  # Entra's logs were measured to bring 2.7 to 4.1 % of their records twice
GRAPH_PER_AUDIT: Final = 0.5
NEIGHBOURS_PER_AUDIT: Final = 0.08
_BEHAVIORS_PER_AUDIT: Final = 0.001
_HELD_BACK_IN: Final = 30
_HELD_BACK_AT_MOST: Final = 12  # slots: an hour

Batch = dict[tuple[str, Kind], list[Delivery]]
Packed = tuple[Kind, Value]


@dataclass(frozen=True, slots=True)
class Day:
    """What the background is to be: from when, how long, and how many audit events in all."""

    start: EventTime
    slots: int
    audit_events: int


@dataclass(slots=True)
class Traffic:
    """One pass over the traffic; the chance it is given decides everything in it."""

    chance: Random
    tenants: Sequence[Tenant]
    day: Day
    planted: Sequence[Delivery]
    many_lines: bool = True
    _waiting: dict[int, list[Delivery]] = field(default_factory=lambda: defaultdict(list))
    _held: dict[int, list[Packed]] = field(default_factory=lambda: defaultdict(list))
    _slots: list[int] = field(default_factory=list)

    def __iter__(self) -> Iterator[Packed]:
        routes = {tenant.id: tenant.routes for tenant in self.tenants}
        plans = [_plan_of(self.chance, tenant, self.day) for tenant in self.tenants]
        self._slots = list(range(self.day.slots))
        for delivery in self.planted:
            self._wait(delivery)
        heapq.heapify(self._slots)
        while self._slots:
            slot = heapq.heappop(self._slots)
            if self._slots and self._slots[0] == slot:
                continue
            yield from self._arriving(slot, plans, routes)

    def _arriving(
        self, slot: int, plans: "Sequence[_Plan]", routes: Mapping[str, Mapping[Kind, Kind]]
    ) -> Iterator[Packed]:
        batch: Batch = defaultdict(list)
        if 0 <= slot < self.day.slots:
            for plan in plans:
                self._background(slot, plan, batch)
        for one in self._waiting.pop(slot, ()):
            entry = batch[one.tenant_id, one.kind]
            entry.insert(self.chance.randint(0, len(entry)), one)
        packed = [
            (routes[tenant_id][kind], value)
            for (tenant_id, kind), deliveries in self._merged(batch, routes).items()
            for value in pack(self.chance, deliveries, many_lines=self.many_lines)
        ]
        self.chance.shuffle(packed)
        yield from self._held.pop(slot, ())
        for arrival in packed:
            if one_in(self.chance, _HELD_BACK_IN):
                release = slot + self.chance.randint(1, _HELD_BACK_AT_MOST)
                self._held[release].append(arrival)
                heapq.heappush(self._slots, release)
            else:
                yield arrival

    def _merged(self, batch: Batch, routes: Mapping[str, Mapping[Kind, Kind]]) -> Batch:
        """Bring together what goes to one hub of a tenant: its tables share envelopes."""
        merged: Batch = {}
        for (tenant_id, kind), deliveries in batch.items():
            merged.setdefault((tenant_id, routes[tenant_id][kind]), []).extend(deliveries)
        return merged

    def _background(self, slot: int, plan: "_Plan", batch: Batch) -> None:
        start, chance, tenant = later(self.day.start, slot * SLOT), self.chance, plan.tenant
        audit, graph = batch[tenant.id, Kind.AUDIT], batch[tenant.id, Kind.GRAPH_ACTIVITY]
        for _ in range(plan.audit[slot]):
            time = _moment(chance, start)
            record = audit_event(chance, tenant, time)
            audit.append(Delivery(start, tenant.id, Kind.AUDIT, record))
            self._copy(slot, tenant, Kind.AUDIT, record, time)
            if chance.random() < NEIGHBOURS_PER_AUDIT:
                record = neighbour_record(chance, tenant, time)
                audit.append(Delivery(start, tenant.id, Kind.AUDIT, record))
            if chance.random() < GRAPH_PER_AUDIT:
                record = graph_request(chance, tenant, time)
                graph.append(Delivery(start, tenant.id, Kind.GRAPH_ACTIVITY, record))
                self._copy(slot, tenant, Kind.GRAPH_ACTIVITY, record, time)
            if chance.random() < _BEHAVIORS_PER_AUDIT:
                batch[tenant.id, Kind.BEHAVIOR_ENTITIES].extend(
                    Delivery(start, tenant.id, Kind.BEHAVIOR_ENTITIES, row)
                    for row in behavior_rows(chance, tenant, time)
                )
        for person in plan.snapshots.get(slot, ()):
            time = _moment(chance, start)
            record = identity_snapshot(chance, tenant, person, time)
            entry = batch[tenant.id, Kind.IDENTITY_INFO]
            entry.append(Delivery(start, tenant.id, Kind.IDENTITY_INFO, record))
            self._copy(slot, tenant, Kind.IDENTITY_INFO, record, time)

    def _copy(self, slot: int, tenant: Tenant, kind: Kind, record: bytes, time: EventTime) -> None:
        if one_in(self.chance, COPIED_IN):
            copied = later(time, self.chance.randint(1, 4) * SLOT)
            again = delivered_again(record, copied)
            arrival = later(self.day.start, (slot + self.chance.randint(1, 6)) * SLOT)
            self._wait(Delivery(arrival, tenant.id, kind, again))

    def _wait(self, delivery: Delivery) -> None:
        slot = (delivery.arrival - self.day.start) // SLOT
        if slot not in self._waiting:
            heapq.heappush(self._slots, slot)
        self._waiting[slot].append(delivery)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How many audit events a tenant has in each slot, and whose snapshot is taken in which."""

    tenant: Tenant
    audit: Sequence[int]
    snapshots: Mapping[int, Sequence[Person]]


def _plan_of(chance: Random, tenant: Tenant, day: Day) -> _Plan:
    # A start of its own for each tenant: small ones would otherwise all record at one moment.
    offset, total = chance.random(), day.audit_events * tenant.share
    counted = [floor(total * _part(slot, day.slots) + offset) for slot in range(day.slots + 1)]
    snapshots: dict[int, list[Person]] = defaultdict(list)
    slots_a_day = DAY // SLOT
    for person in (*tenant.admins, *tenant.users):
        first = chance.randrange(slots_a_day)
        for slot in range(first, day.slots, slots_a_day):
            snapshots[slot].append(person)
    return _Plan(tenant, [after - before for before, after in pairwise(counted)], snapshots)


def _part(slot: int, slots: int) -> float:
    """Return which part of the events is over at a slot: most of them at midday."""
    if slots == 0:
        return 0.0
    return _since_midnight(slot) / _since_midnight(slots)


def _since_midnight(slot: int) -> float:
    days = slot * SLOT / DAY
    return days - 0.8 * sin(2 * pi * days) / (2 * pi)


def _moment(chance: Random, start: EventTime) -> EventTime:
    return later(start, chance.randrange(SLOT // MILLISECOND) * MILLISECOND)
