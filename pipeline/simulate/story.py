"""The story of the demo: four scenes, each in steps, with the alert that follows from each step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.core.event_time import EventTime
from pipeline.simulate.audit_records import ALL_USERS
from pipeline.simulate.delivery import Arrival, Delivery, Kind
from pipeline.simulate.dice import dice, guid
from pipeline.simulate.envelopes import envelope
from pipeline.simulate.expected import ExpectedAlert, Mode
from pipeline.simulate.graph_records import GraphShape
from pipeline.simulate.moments import DAY, HOUR, MINUTE, SECOND, later
from pipeline.simulate.planting import Act, Naming, Planting, Style
from pipeline.simulate.tenants import PARTNER_DOMAIN, Person, Tenant, make_tenant

Step = tuple[Arrival, ...]

_EVERYBODY: Final = ((ALL_USERS, "Required"),)


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene: who does what where, the values of each step, and what must be seen after it.

    `expected` has an entry for each step: by matching, the alert as its last revision must then
    stand, or None for silence.
    """

    name: str
    title: str
    tenant: Tenant
    admin: Person
    audit_event_id: str
    steps: tuple[Step, ...]
    expected: tuple[Mapping[Mode, ExpectedAlert | None], ...]

    @property
    def app(self) -> str:
        """The name of the app that is assigned."""
        return self.tenant.apps[0].name


def tell(start: EventTime, seed: int = 1) -> tuple[Scene, ...]:
    """Tell the story; its assignments happen in the morning after `start`.

    The late risk of the last scene happens 25 hours after its assignment.
    """
    return (
        _quiet_rollout(start, seed),
        _partners_rollout(start, seed),
        _impossible_travel(start, seed),
        _late_risk(start, seed),
    )


class _Stage:
    """Collects one scene; `step` ends a step."""

    def __init__(self, name: str, seed: int, tenant_name: str, admin: tuple[str, str], app: str):
        self._name = name
        chance = dice(seed, "story", name)
        upn, display_name = admin
        self.admin = Person(upn, guid(chance), display_name)
        self.tenant = make_tenant(chance, tenant_name, self.admin, app)
        self.planting = Planting(chance, label=name)
        self._steps: list[Step] = []
        self._expected: list[Mapping[Mode, ExpectedAlert | None]] = []

    def step(self) -> None:
        deliveries, self.planting.deliveries = self.planting.deliveries, []
        self._steps.append(_values_of(deliveries))
        (planted,) = self.planting.ledger.assignments
        seen = {}
        for mode in Mode:
            of_tenant = self.planting.ledger.alerts(mode).get(planted.tenant_id, {})
            seen[mode] = of_tenant.get(planted.audit_event_id)
        self._expected.append(seen)

    def scene(self, title: str) -> Scene:
        return Scene(
            name=self._name,
            title=title,
            tenant=self.tenant,
            admin=self.admin,
            audit_event_id=self.planting.ledger.assignments[0].audit_event_id,
            steps=tuple(self._steps),
            expected=tuple(self._expected),
        )


def _quiet_rollout(start: EventTime, seed: int) -> Scene:
    admin = "dana.meyer@contoso.example.org", "Dana Meyer"
    stage = _Stage("quiet_rollout", seed, "Contoso", admin, "Company Portal 11.2")
    who, tenant, time = stage.admin, stage.tenant, later(start, 9 * HOUR)
    no_weight = Style(counts=False)
    stage.planting.risk(tenant, who, later(time, -DAY), "Low", no_weight)
    stage.planting.behavior(tenant, who, later(time, -3 * HOUR), "MassDownload", no_weight)
    planted = stage.planting.assign(tenant, who, time)
    seen = "192.0.2.14", GraphShape.ACTIVITY
    stage.planting.call_graph(planted, who, later(time, -SECOND), seen)
    stage.step()
    return stage.scene("an ordinary rollout by a quiet admin")


def _partners_rollout(start: EventTime, seed: int) -> Scene:
    admin = f"noor.haddad@{PARTNER_DOMAIN}", "Noor Haddad"
    stage = _Stage("partners_rollout", seed, "Fabrikam", admin, "Remote Helper 4.2")
    time = later(start, 9 * HOUR + 20 * MINUTE)
    act = Act(is_delegated_admin=True, whom=_EVERYBODY)
    stage.planting.assign(stage.tenant, stage.admin, time, act)
    stage.step()
    return stage.scene("a rollout by a partner's delegated admin")


def _impossible_travel(start: EventTime, seed: int) -> Scene:
    admin = "marco.rossi@tailspin.example.org", "Marco Rossi"
    stage = _Stage("impossible_travel", seed, "Tailspin Toys", admin, "Screen Share 1.0")
    who, tenant, time = stage.admin, stage.tenant, later(start, 10 * HOUR)
    style = Style(naming=Naming.BOTH)
    stage.planting.behavior(
        tenant, who, later(time, -40 * MINUTE), "ImpossibleTravelActivity", style
    )
    planted = stage.planting.assign(tenant, who, time)
    for span, address in ((-SECOND, "203.0.113.77"), (-4 * MINUTE, "198.51.100.23")):
        seen = address, GraphShape.ACTIVITY
        stage.planting.call_graph(planted, who, later(time, span), seen)
    stage.step()
    return stage.scene("an admin who was in two countries within the hour")


def _late_risk(start: EventTime, seed: int) -> Scene:
    admin = "ines.petrov@adventure-works.example.org", "Ines Petrov"
    stage = _Stage("late_risk", seed, "Adventure Works", admin, "Inventory Scan.ps1 2.0")
    who, tenant, time = stage.admin, stage.tenant, later(start, 11 * HOUR)
    style = Style(naming=Naming.BOTH)
    stage.planting.behavior(
        tenant, who, later(time, -2 * HOUR), "ActivityFromInfrequentCountry", style
    )
    stage.planting.assign(tenant, who, time, Act(whom=_EVERYBODY))
    stage.step()
    stage.planting.risk(tenant, who, later(time, 25 * HOUR), "High")
    stage.step()
    return stage.scene("an admin in a rare country, whose High risk arrives a day late")


def _values_of(deliveries: Sequence[Delivery]) -> Step:
    in_order = sorted(deliveries, key=lambda one: one.arrival)
    values = []
    for kind in Kind:
        records = [one.record for one in in_order if one.kind is kind]
        if records:
            values.append(Arrival(kind, envelope(records), len(records)))
    return tuple(values)
