"""The records of a benchmark: audit events of 1.75 kB, of which few are about app assignments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random
from typing import Final

import orjson

from pipeline.core.event_time import EventTime
from pipeline.simulate.audit_records import (
    ALL_DEVICES,
    AuditEvent,
    Form,
    actor_of,
    assignment_target,
    audit_record,
    target_of,
)
from pipeline.simulate.background import audit_event
from pipeline.simulate.dice import dice, guid
from pipeline.simulate.envelopes import envelope
from pipeline.simulate.moments import SECOND, later
from pipeline.simulate.tenants import PARTNER_TENANT, Person, Tenant, make_tenant
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored
from pipeline.sources.sieve import Sieve

from .needle import NEEDLE

SIZE: Final = 1750
HIT_EVERY: Final = 100
PARTITIONS: Final = 4

_DISTINCT: Final = 5000
"""At 1.75 kB each, far more than the window of any codec."""

_ADMIN: Final = Person("bea.bench@example.org", "6a5f2f0e-0c1d-4f6e-9d0a-3b7e5c1f2a44", "Bea Bench")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Records of an ordinary day of one tenant, none of which can become an alert.

    Attributes:
        plain: Records without the needle.
        hits: Records with it: assignments to groups, as Available, or undone. Decoding ignores
            them, so that no way of reading is charged for anything that comes after decoding.
    """

    plain: Sequence[bytes]
    hits: Sequence[bytes]

    def stream(self, count: int, partitions: int = PARTITIONS) -> Iterator[tuple[int, bytes]]:
        """Yield so many records with their partitions; the first of each hundred is a hit."""
        plain, hits = cycle(self.plain), cycle(self.hits)
        for number in range(count):
            hundred, place = divmod(number, HIT_EVERY)
            yield hundred % partitions, next(plain if place else hits)


@dataclass(frozen=True, slots=True)
class Load:
    """What is written to a topic and read again: records, and how they lie in values.

    Attributes:
        traffic: Where the records come from; they come again and again.
        records: How many; the first of each hundred is a hit.
        partitions: How many partitions they are spread over.
        in_one: How many records a value holds: one lies bare, several are an envelope.
    """

    traffic: Traffic
    records: int
    partitions: int = PARTITIONS
    in_one: int = 1

    @property
    def values(self) -> int:
        """How many values there are."""
        return -(-self.records // self.in_one)

    @property
    def hits(self) -> int:
        """How many records are hits."""
        return -(-self.records // HIT_EVERY)

    @property
    def opened(self) -> int:
        """How many records lie in values that hold a hit."""
        full, rest = divmod(self.records, self.in_one)
        starts = (number * self.in_one for number in range(full))
        opened = sum(self.in_one for first in starts if _has_hit(first, self.in_one))
        return opened + (rest if _has_hit(self.records - rest, rest) else 0)

    def stream(self) -> Iterator[tuple[int, bytes]]:
        """Yield the values with their partitions."""
        if self.in_one == 1:
            yield from self.traffic.stream(self.records, self.partitions)
            return
        records = (record for _, record in self.traffic.stream(self.records))
        for number in range(self.values):
            yield number % self.partitions, envelope([*islice(records, self.in_one)])


def _has_hit(first: int, count: int) -> bool:
    return -first % HIT_EVERY < count


def ordinary_traffic(start: EventTime) -> Traffic:
    """Draw the records; all that can be asked of them is checked."""
    chance, tenant = dice("bench"), bench_tenant()
    plain: list[bytes] = []
    hits: list[bytes] = []
    while len(plain) < _DISTINCT:
        moment = later(start, len(plain) * SECOND)
        record = audit_event(chance, tenant, moment)
        if NEEDLE in record:
            hits.append(record)
        elif (filled := _filled(record, chance)) is not None:
            plain.append(filled)
    traffic = Traffic(plain, hits)
    _check(traffic)
    return traffic


def mass_assignment(
    audit_event_id: str, moment: EventTime, who: Person = _ADMIN, *, is_delegated_admin: bool = True
) -> bytes:
    """Write an assignment of an app to all devices: one alert if it is a delegated admin's."""
    tenant = bench_tenant()
    return audit_record(
        AuditEvent(
            tenant_id=tenant.id,
            time=moment,
            operation="Create MobileAppAssignment",
            audit_event_id=audit_event_id,
            correlation_id=audit_event_id,
            identity=who.upn,
            category=5,
            actor=actor_of(
                who.upn,
                who.object_id,
                is_delegated_admin=is_delegated_admin,
                partner_tenant_id=PARTNER_TENANT if is_delegated_admin else "",
            ),
            targets=[
                target_of(tenant.apps[0].name),
                assignment_target(ALL_DEVICES, "Required", ""),
            ],
            target_object_ids=[tenant.apps[0].object_id],
            target_display_names=[tenant.apps[0].name],
        ),
        Form.OBJECT,
    )


def bench_tenant() -> Tenant:
    """Make the tenant whose events these are."""
    return make_tenant(dice("bench tenant"), "Bench", _ADMIN, "Remote Helper 1.0")


def _filled(record: bytes, chance: Random) -> bytes | None:
    """Bring a record to the size with what hardly compresses; None: it is too long already."""
    document = orjson.loads(record)
    document["properties"]["AdditionalDetails"] = ""
    missing = SIZE - len(orjson.dumps(document))
    if missing < 0:
        return None
    filler = "".join(guid(chance) for _ in range(missing // 36 + 1))
    document["properties"]["AdditionalDetails"] = filler[:missing]
    return orjson.dumps(document)


def _check(traffic: Traffic) -> None:
    sieve, decode = Sieve(), Decoder()
    for records, has_needle in ((traffic.plain, False), (traffic.hits, True)):
        for record in records:
            assert has_needle or len(record) == SIZE
            assert sieve.admits(record) is has_needle
            assert all(isinstance(one.decoded, Ignored) for one in decode(record))
