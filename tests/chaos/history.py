"""What a schedule sends: the traffic of some tenants, disturbed, and what must come of it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from typing import NamedTuple

from expectation import PublishedAlert, alerts_of_the_batch, taken

from pipeline.core.evidence import Matching
from pipeline.core.model import Fact
from pipeline.core.policy import Policy
from pipeline.simulate.cases import ACTIONS
from pipeline.simulate.delivery import Delivery, Kind
from pipeline.simulate.document import FILES
from pipeline.simulate.envelopes import pack
from pipeline.simulate.graph_records import GraphShape
from pipeline.simulate.moments import DAY, HOUR, later
from pipeline.simulate.planting import Planting
from pipeline.simulate.simulation import Plan, generate
from pipeline.simulate.tenants import Tenant

TOPICS = {kind: name.removesuffix(".jsonl") for kind, name in FILES.items()}
A_MEGABYTE = 1_000_000
_NEVER_COMMITTED = 1_000_003
"""Added to the seed of what is sent in transactions that are aborted."""


class Order(StrEnum):
    """The order of arrival."""

    AS_SIMULATED = "as simulated"
    SHUFFLED = "shuffled"
    BACKWARDS = "backwards"
    TABLE_BY_TABLE = "table by table"


class Value(NamedTuple):
    """A value for a source topic; a tombstone is None."""

    topic: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Disturbance:
    """How the values of a simulation arrive.

    Attributes:
        order: In which order.
        crowd: How many admins have much evidence, so that their alerts have many revisions.
        copied: Which share of the values comes once more, anywhere later.
        poison: How many values nobody can read, or that mean nothing, come between them.
        large: How many values are blown up to a megabyte.
    """

    order: Order
    crowd: int
    copied: float
    poison: int
    large: int


@dataclass(frozen=True, slots=True)
class History:
    """What is sent, and what must come of it.

    Attributes:
        values: In order of arrival.
        aborted: What is sent too, but never committed, if the source writes in transactions.
        tenants: The tenants' ids.
        facts: The facts in the values.
        refused: The values with a record that must be dead-lettered.
    """

    values: tuple[Value, ...]
    aborted: tuple[Value, ...]
    tenants: frozenset[str]
    facts: frozenset[Fact] = field(repr=False)
    refused: frozenset[tuple[str, bytes]] = field(repr=False)

    def expected(self, matching: Matching) -> dict[str, PublishedAlert]:
        """What the batch evaluation says, by alert id."""
        return alerts_of_the_batch(self.facts, Policy(matching=matching))


def make(plan: Plan, disturbance: Disturbance, matching: Matching) -> History:
    """Make a history of a plan; the same arguments give the same bytes."""
    chance = Random(f"history {plan.seed}")
    simulation = generate(plan)
    values = [
        *_crowded(simulation.tenants, plan, disturbance.crowd, chance),
        *(Value(TOPICS[one.kind], one.value) for one in simulation),
    ]
    never = generate(replace(plan, seed=plan.seed + _NEVER_COMMITTED, audit_events=100))
    disturbed = _disturbed(values, disturbance, chance)
    facts, refused = taken(disturbed, matching)
    return History(
        values=tuple(disturbed),
        aborted=tuple(Value(TOPICS[one.kind], one.value) for one in never),
        tenants=frozenset(tenant.id for tenant in simulation.tenants),
        facts=facts,
        refused=refused,
    )


def _crowded(tenants: Sequence[Tenant], plan: Plan, crowd: int, chance: Random) -> Iterator[Value]:
    """Yield values of admins about whom there is much, in and out of the windows."""
    planting, middle = Planting(chance), later(plan.start, 20 * DAY)
    for _ in range(crowd):
        tenant = chance.choice(tenants)
        who = planting.newcomer(tenant.domain)
        for _ in range(chance.randint(1, 4)):
            planted = planting.assign(tenant, who, later(middle, chance.randrange(3 * DAY)))
            for _ in range(chance.randint(0, 3)):
                moment = later(planted.times[0], chance.randint(-3 * HOUR, 3 * HOUR))
                seen = f"198.51.100.{chance.randint(1, 254)}", chance.choice(list(GraphShape))
                planting.call_graph(planted, who, moment, seen)
        for _ in range(chance.randint(2, 25)):
            moment = later(middle, chance.randint(-15 * DAY, 6 * DAY))
            if chance.random() < 0.5:
                planting.risk(tenant, who, moment, chance.choice(("Low", "Medium", "High")))
            else:
                planting.behavior(tenant, who, moment, chance.choice(ACTIONS))
    by_hub: dict[tuple[str, Kind], list[Delivery]] = defaultdict(list)
    for delivery in planting.deliveries:
        by_hub[delivery.tenant_id, delivery.kind].append(delivery)
    for (_, kind), deliveries in by_hub.items():
        while deliveries:
            few = [deliveries.pop() for _ in range(min(len(deliveries), chance.randint(1, 4)))]
            yield from (Value(TOPICS[kind], packed.data) for packed in pack(chance, few))


def _disturbed(
    values: Sequence[Value], disturbance: Disturbance, chance: Random
) -> Sequence[Value]:
    arriving = list(_ordered(values, disturbance.order, chance))
    for _ in range(disturbance.large):
        place = chance.randrange(len(arriving))
        topic, value = arriving[place]
        arriving[place] = Value(topic, (value or b"{}").ljust(A_MEGABYTE))
    for _ in range(round(disturbance.copied * len(arriving))):
        first = chance.randrange(len(arriving))
        arriving.insert(chance.randint(first, len(arriving)), arriving[first])
    for _ in range(disturbance.poison):
        arriving.insert(chance.randint(0, len(arriving)), _poison(arriving, chance))
    return arriving


def _ordered(values: Sequence[Value], order: Order, chance: Random) -> Sequence[Value]:
    match order:
        case Order.AS_SIMULATED:
            return values
        case Order.SHUFFLED:
            return chance.sample(values, len(values))
        case Order.BACKWARDS:
            return values[::-1]
        case Order.TABLE_BY_TABLE:
            topics = chance.sample(sorted(TOPICS.values()), len(TOPICS))
            return sorted(values, key=lambda one: topics.index(one.topic))


def _poison(values: Sequence[Value], chance: Random) -> Value:
    """Draw a value that does harm to whoever reads it without care."""
    topic, value = chance.choice(values)
    cut = (value or b"{}")[: chance.randrange(1, 4000)]
    return Value(topic, chance.choice(list(_poisons(cut, chance))))


def _poisons(value: bytes, chance: Random) -> Iterator[bytes | None]:
    yield None
    yield b""
    yield value[:-1]
    yield value.decode("utf-8", "replace").encode("utf-16")
    yield b'{"category":"IntuneAuditLogs","operationName":"Create MobileAppAssignment",' + value
    yield b"\x1f\x8b" + chance.randbytes(200)
    yield b'[{"MobileAppAssignment":' * 3000
    yield chance.randbytes(chance.randrange(1, 100_000))
