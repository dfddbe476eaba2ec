"""What one record of each sort takes of a worker, of Kafka and of Redis: the model's constants.

The sorts are written one after another and read by one worker, held back until it is at rest; what
each server takes at rest is taken off. Then ordinary audit events come at a steady rate, one a
value, because a worker that is woken for each of them takes more than one that reads many at once.
Last, facts and assignments come alone, which is how they come in life: each in a batch, and an
alert in a transaction, of its own; what ordinary events at that rate take is taken off.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from confluent_kafka import Producer

from pipeline.core.errors import MasswatchError
from pipeline.core.event_time import EventTime
from pipeline.localstack import Stack, wait
from pipeline.simulate.defender_records import IdentityRow, Shape, account_of, identity_record
from pipeline.simulate.dice import dice, guid
from pipeline.simulate.envelopes import envelope
from pipeline.simulate.moments import SECOND, later
from pipeline.simulate.tenants import draw_person
from pipeline.wiring import clock

from . import topic
from .crew import Crew, crew
from .latency import background
from .measure import yardstick
from .meters import Meters, Used
from .records import PARTITIONS, Traffic, bench_tenant, mass_assignment, ordinary_traffic
from .throughput import IN_AN_ENVELOPE
from .topic import HeldBack

ALONE: Final = 20
RATES: Final = (10, ALONE, 100, 1_000)
"""Values a second."""

_AUDIT: Final = "bench.costs"
_SIEVED: Final = 100_000
_WITHIN: Final = 300.0
_PACED_SECONDS: Final = 10.0
_REST_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sort:
    """Values of one sort of record, and what a worker must do with them.

    Attributes:
        name: What they are.
        values: As they are written.
        records: How many records they hold.
        handled: How many of them are facts.
        evaluations: How many verdicts follow.
    """

    name: str
    values: Sequence[bytes]
    records: int
    handled: int = 0
    evaluations: int = 0

    def stream(self) -> Iterator[tuple[int, bytes]]:
        """Yield the values with their partitions."""
        for number, value in enumerate(self.values):
            yield number % PARTITIONS, value


@dataclass(frozen=True, slots=True)
class Cost:
    """What one record takes: microseconds of CPU, and bytes."""

    worker_cpu: float
    kafka_cpu: float
    kafka_cpu_to_write: float
    redis_cpu: float
    worker_bytes: float
    redis_bytes: float
    source_bytes: float
    evaluations_bytes: float
    alerts_bytes: float


def measure(stack: Stack, logs: Path, facts: int) -> dict[str, Any]:
    """Return the cost of a record of each sort, and the shares of a core at rest and at a pace."""
    topic.create(stack.client, _AUDIT)
    sticks: list[float] = []
    try:
        with crew(stack, logs, _AUDIT) as whole:
            meters = Meters(stack, whole, (_AUDIT,))
            whole.come_to_rest()
            rest = _over(meters, _REST_SECONDS)
            sorts = {sort.name: asdict(_cost(sort, meters, rest, sticks)) for sort in _read()}
            warm = meters.read().worker_bytes
            facts_of = {
                sort.name: asdict(_cost(sort, meters, rest, sticks)) for sort in _facts(facts)
            }
            paced = {rate: _paced(stack, meters, rate) for rate in RATES}
            whole.come_to_rest()
            alone = {
                sort.name: asdict(_cost_alone(sort, meters, paced[ALONE]))
                for sort in _facts(round(ALONE * _PACED_SECONDS))
            }
        return {
            "sorts": sorts | facts_of,
            "alone": alone,
            "shares_of_a_core": {
                "0": _shares(rest),
                **{str(rate): _shares(used) for rate, used in paced.items()},
            },
            "worker_bytes_warm": warm,
            "yardstick": median(sticks),
        }
    finally:
        topic.delete(stack.client, _AUDIT)


def _read() -> Iterator[Sort]:
    traffic = ordinary_traffic(clock())
    plain, hits = traffic.plain, traffic.hits
    single = [value for _, value in Traffic(plain, plain).stream(_SIEVED)]
    yield Sort("sieved, a record a value", single, _SIEVED)
    envelopes = [*_envelopes(Traffic(plain, plain), 400)]
    yield Sort("sieved, 130 a value", envelopes, 400 * IN_AN_ENVELOPE)
    opened = [*_envelopes(Traffic(plain, hits), 100)]
    yield Sort("opened, 130 a value", opened, 100 * IN_AN_ENVELOPE)


def _facts(count: int) -> Iterator[Sort]:
    yield Sort("risk", [*_risks(count)], count, handled=count)
    for name, is_delegated in (("assignment without a reason", False), ("alert", True)):
        assignments = [*_assignments(count, is_delegated_admin=is_delegated)]
        yield Sort(name, assignments, count, count, count)


def _envelopes(traffic: Traffic, count: int) -> Iterator[bytes]:
    records = [record for _, record in traffic.stream(count * IN_AN_ENVELOPE)]
    for first in range(0, len(records), IN_AN_ENVELOPE):
        yield envelope(records[first : first + IN_AN_ENVELOPE])


def _risks(count: int) -> Iterator[bytes]:
    chance, tenant, start = dice("risks", count), bench_tenant(), clock()
    for number in range(count):
        who = account_of(draw_person(chance, tenant.domain))
        row = IdentityRow(tenant.id, _moment(start, number), who, "High")
        yield identity_record(row, Shape.STREAMED, chance)


def _assignments(count: int, *, is_delegated_admin: bool) -> Iterator[bytes]:
    chance, tenant, start = dice("assignments", count, is_delegated_admin), bench_tenant(), clock()
    for number in range(count):
        who = draw_person(chance, tenant.domain)
        moment = _moment(start, number)
        yield mass_assignment(guid(chance), moment, who, is_delegated_admin=is_delegated_admin)


def _moment(start: EventTime, number: int) -> EventTime:
    return later(start, -number * SECOND)


def _cost(sort: Sort, meters: Meters, rest: Used, sticks: list[float]) -> Cost:
    sticks += (yardstick() for _ in range(3))
    whole = meters.crew
    wanted = [had + more for had, more in zip(_done(whole), _expected(sort), strict=True)]
    before_writing = meters.read()
    held = HeldBack(meters.stack.client, _AUDIT, sort, "none")
    whole.come_to_rest()
    before = meters.read()
    held.release()
    if not wait.until(lambda: _done(whole) == wanted, within=_WITHIN, every=0.25):
        raise MasswatchError(f"{sort.name}: not done: see {whole.workers[0].log}")
    return _each(sort, meters.read() - before, before - before_writing, rest)


def _cost_alone(sort: Sort, meters: Meters, ordinary: Used) -> Cost:
    whole = meters.crew
    wanted = [had + more for had, more in zip(_done(whole), _expected(sort), strict=True)]
    producer = Producer({**meters.stack.client, "linger.ms": "0", "log_level": "0"})
    before, due = meters.read(), time.monotonic()
    for partition, value in sort.stream():
        producer.produce(_AUDIT, value, partition=partition)
        producer.poll(0)
        due += 1 / ALONE
        time.sleep(max(0.0, due - time.monotonic()))
    producer.flush(_WITHIN)
    if not wait.until(lambda: _done(whole) == wanted, within=_WITHIN, every=0.25):
        raise MasswatchError(f"{sort.name}: not done: see {whole.workers[0].log}")
    used = meters.read() - before
    return _each(sort, used, used, ordinary)


def _each(sort: Sort, used: Used, writing: Used, besides: Used) -> Cost:
    """Share out what was used, less what would have been used besides in that time."""

    def micros(cpu: float, taken_off: float, seconds: float) -> float:
        return max(0.0, cpu - taken_off / besides.seconds * seconds) / sort.records * 1e6

    return Cost(
        micros(used.worker_cpu, besides.worker_cpu, used.seconds),
        micros(used.kafka_cpu, besides.kafka_cpu, used.seconds),
        micros(writing.kafka_cpu, besides.kafka_cpu, writing.seconds),
        micros(used.redis_cpu, besides.redis_cpu, used.seconds),
        used.worker_bytes / sort.records,
        used.redis_bytes / sort.records,
        writing.source_bytes / sort.records,
        used.evaluations_bytes / sort.records,
        used.alerts_bytes / sort.records,
    )


def _expected(sort: Sort) -> list[float]:
    return [len(sort.values), sort.handled, sort.evaluations]


def _done(whole: Crew) -> list[float]:
    here = f'topic="{_AUDIT}"'
    return [
        whole.total("masswatch_values_fetched_total", here),
        whole.total("masswatch_records_handled_total", here),
        whole.total("masswatch_evaluations_total"),
    ]


def _paced(stack: Stack, meters: Meters, rate: int) -> Used:
    with background(stack.client, _AUDIT, rate):
        before = meters.crew.total("masswatch_values_fetched_total")
        met = wait.until(
            lambda: meters.crew.total("masswatch_values_fetched_total") > before, within=_WITHIN
        )
        if not met:
            raise MasswatchError(f"{rate} values a second: none arrives")
        return _over(meters, _PACED_SECONDS)


def _over(meters: Meters, seconds: float) -> Used:
    before = meters.read()
    time.sleep(seconds)
    return meters.read() - before


def _shares(used: Used) -> dict[str, float]:
    return {
        "worker": used.worker_cpu / used.seconds,
        "kafka": used.kafka_cpu / used.seconds,
        "redis": used.redis_cpu / used.seconds,
    }
