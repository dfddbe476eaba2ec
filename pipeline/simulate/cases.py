"""The cases that are planted: each knows in its docstring why it alerts or stays quiet."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from pipeline.core.event_time import EventTime
from pipeline.simulate.audit_records import ALL_DEVICES, ALL_USERS, GROUP, NO_IDENTITY, Form
from pipeline.simulate.defender_records import Shape
from pipeline.simulate.expected import AFTER, BEFORE, GRAPH_SPAN
from pipeline.simulate.graph_records import GraphShape
from pipeline.simulate.moments import DAY, HOUR, MINUTE, SECOND, TICK, later, to_the_millisecond
from pipeline.simulate.planting import SPLIT, Act, Naming, Planting, Style
from pipeline.simulate.tenants import Person, Tenant

ACTIONS: Final = (
    *("ImpossibleTravelActivity", "ActivityFromInfrequentCountry"),
    *("SuspiciousAdministrativeActivity", "SuspiciousImpersonatedActivity"),
    "UnusualAdditionOfCredentialsToAnOauthApp",
)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a case is planted: a tenant, somebody new in it, a moment to the millisecond."""

    planting: Planting
    tenant: Tenant
    elsewhere: Tenant
    partner: Person
    who: Person
    time: EventTime

    def after(self, span: int) -> EventTime:
        """Return the moment so long after the assignment."""
        return later(self.time, span)

    def assign(self, act: Act | None = None) -> None:
        """Let the newcomer assign an app at the moment."""
        self.planting.assign(self.tenant, self.who, self.time, act)

    def risk(self, after: int, level: str | None = "High", style: Style | None = None) -> None:
        """Put the newcomer at risk so long after the assignment."""
        self.planting.risk(self.tenant, self.who, self.after(after), level, style)

    def behavior(self, after: int, action: str = ACTIONS[0], style: Style | None = None) -> None:
        """Let the newcomer be seen behaving so, so long after the assignment."""
        self.planting.behavior(self.tenant, self.who, self.after(after), action, style)

    def some_time_before(self) -> int:
        """Draw a span well within the window, before the assignment."""
        return -self.planting.chance.randrange(MINUTE, 13 * DAY)

    def address(self) -> str:
        """Draw an address of a documentation range."""
        return f"203.0.113.{self.planting.chance.randrange(1, 255)}"


Case = Callable[[Ground], None]


def _quiet_rollout(ground: Ground) -> None:
    """Nothing is known of the admin: quiet."""
    operation = ground.planting.chance.choice(
        ("Create MobileAppAssignment", "Patch MobileAppAssignment")
    )
    ground.assign(Act(operation=operation, whom=((ALL_USERS, "Required"),)))


def _high_risk(ground: Ground) -> None:
    """High risk before the assignment: medium severity."""
    ground.risk(ground.some_time_before())
    ground.assign(Act(whom=((ALL_USERS, "Required"),)))


def _medium_risk(ground: Ground) -> None:
    """Medium risk alone: low severity."""
    ground.risk(ground.some_time_before(), "Medium")
    ground.assign(Act(operation="Patch MobileAppAssignment"))


def _risk_in_other_case(ground: Ground) -> None:
    """A level and a UPN in other case count when repaired, and never in the seed's joins."""
    ground.risk(-HOUR, "MEDIUM", Style(naming=Naming.OTHER_CASE))
    ground.assign()


def _risk_by_object_id(ground: Ground) -> None:
    """A row without a UPN is of the actor whose object id it has."""
    ground.risk(-HOUR, "High", Style(naming=Naming.OBJECT_ID))
    ground.assign()


def _risk_by_composed_name(ground: Ground) -> None:
    """Without AccountUpn, AccountName@AccountDomain names the actor."""
    ground.risk(-HOUR, "High", Style(naming=Naming.COMPOSED))
    ground.assign()


def _risk_in_a_sentinel_row(ground: Ground) -> None:
    """Sentinel's variant counts when repaired."""
    kind = ground.planting.chance.choice(("User", "Member", "Guest"))
    ground.risk(-DAY, "Medium", Style(shape=Shape.SENTINEL, kind=kind))
    ground.assign()


def _risk_in_a_bare_row(ground: Ground) -> None:
    """A bare row of advanced hunting counts like a streamed one."""
    ground.risk(-DAY, "High", Style(shape=Shape.BARE))
    ground.assign()


def _risk_at_the_first_tick(ground: Ground) -> None:
    """The window holds its first moment."""
    ground.risk(-BEFORE, "Medium")
    ground.assign()


def _risk_at_the_last_tick(ground: Ground) -> None:
    """The window holds its last moment."""
    ground.risk(AFTER, "High", Style(shape=Shape.STREAMED_TEXT))
    ground.assign()


def _risk_a_tick_too_early(ground: Ground) -> None:
    """One tick before the window: quiet."""
    ground.risk(-BEFORE - TICK)
    ground.assign()


def _risk_a_tick_too_late(ground: Ground) -> None:
    """One tick behind the window: quiet."""
    ground.risk(AFTER + TICK)
    ground.assign()


def _risk_late_by_a_day(ground: Ground) -> None:
    """Entra's offline detection: it happened after the assignment, and arrives a day later."""
    happened = ground.planting.chance.randrange(HOUR, 47 * HOUR)
    arrival = ground.after(happened + DAY)
    ground.risk(happened, "High", Style(arrival=arrival))
    ground.assign()


def _assignment_late_by_a_day(ground: Ground) -> None:
    """All evidence arrives before the assignment does, that of later event time too."""
    ground.risk(-HOUR, "Medium")
    ground.behavior(3 * HOUR)
    arrival = ground.after(DAY + 6 * HOUR)
    ground.assign(Act(arrival=arrival))


def _behavior_by_short_name(ground: Ground) -> None:
    """The real form: AccountName is the short name, which the seed's join never finds."""
    ground.behavior(ground.some_time_before(), ground.planting.chance.choice(ACTIONS))
    ground.assign()


def _behavior_by_whole_name(ground: Ground) -> None:
    """AccountName is the UPN: the seed's join finds it too."""
    style = Style(naming=Naming.BOTH, shape=Shape.BARE)
    ground.behavior(ground.some_time_before(), ground.planting.chance.choice(ACTIONS), style)
    ground.assign()


def _behavior_without_upn(ground: Ground) -> None:
    """AccountName holds the UPN, or AccountName and AccountDomain make it up."""
    ground.behavior(-HOUR, ACTIONS[2], Style(naming=Naming.WHOLE_UPN))
    ground.behavior(HOUR, ACTIONS[3], Style(naming=Naming.COMPOSED, shape=Shape.STREAMED_TEXT))
    ground.assign()


def _behavior_at_both_ends(ground: Ground) -> None:
    """Of four behaviours the two at the ends of the window count, those a tick outside do not."""
    for span in (-BEFORE - TICK, -BEFORE, AFTER, AFTER + TICK):
        ground.behavior(span, ACTIONS[1])
    ground.assign()


def _behavior_a_tick_outside(ground: Ground) -> None:
    """A behaviour a tick before the window and one a tick behind it: quiet."""
    ground.behavior(-BEFORE - TICK)
    ground.behavior(AFTER + TICK)
    ground.assign()


def _behavior_of_no_weight(ground: Ground) -> None:
    """An action type that does not count, and a behaviour without a User row: quiet."""
    ground.behavior(-HOUR, "MassDownload", Style(counts=False))
    ground.behavior(-HOUR, ACTIONS[0], Style(user_row=False))
    ground.assign()


def _risk_of_no_weight(ground: Ground) -> None:
    """Low risk, no risk, and the High risk of a service account: quiet."""
    ground.risk(-DAY, "Low", Style(counts=False))
    ground.risk(-HOUR, None)
    ground.risk(-HOUR, "High", Style(kind="ServiceAccount", counts=False))
    ground.assign()


def _delegated_admin(ground: Ground) -> None:
    """A partner's technician."""
    act = Act(is_delegated_admin=True, operation="Patch MobileAppAssignment")
    ground.planting.assign(ground.tenant, ground.partner, ground.time, act)


def _delegated_admin_unnamed(ground: Ground) -> None:
    """A delegated admin of whom neither UPN nor object id is known."""
    ground.assign(Act(is_delegated_admin=True, has_upn=False, has_object_id=False))


def _delegated_in_words(ground: Ground) -> None:
    """Only JSON's true makes a delegated admin, not a text: quiet."""
    ground.assign(Act(is_delegated_admin="true"))


def _two_reasons(ground: Ground) -> None:
    """Medium risk and a behaviour: two reasons make medium severity."""
    ground.risk(-2 * DAY, "Medium")
    ground.behavior(30 * MINUTE, ACTIONS[4])
    ground.assign()


def _three_reasons(ground: Ground) -> None:
    """A delegated admin at risk who travels impossibly."""
    ground.risk(-2 * DAY)
    ground.behavior(-30 * MINUTE)
    ground.assign(Act(is_delegated_admin=True))


def _split_signals(ground: Ground) -> None:
    """Two targets of one name, each with one signal, make a match together."""
    ground.risk(-DAY, "Medium")
    ground.assign(Act(whom=SPLIT, split_signals=True))


def _both_targets(ground: Ground) -> None:
    """All Users and All Devices in one event."""
    ground.behavior(-DAY, ACTIONS[2])
    ground.assign(Act(whom=((ALL_USERS, "Required"), (ALL_DEVICES, "Required"))))


def _with_addresses(ground: Ground) -> None:
    """Requests within 2.5 hours add addresses, both ends included; a tick outside adds none."""
    ground.risk(-DAY, "Medium")
    planted = ground.planting.assign(ground.tenant, ground.who, ground.time)
    for span in (-GRAPH_SPAN - TICK, -GRAPH_SPAN, -SECOND, GRAPH_SPAN, GRAPH_SPAN + TICK):
        shape = ground.planting.chance.choice(list(GraphShape))
        ground.planting.call_graph(
            planted, ground.who, ground.after(span), (ground.address(), shape)
        )


def _addresses_in_other_spellings(ground: Ground) -> None:
    """The request id in capitals, an app path in lower case, another path, no address at all."""
    ground.behavior(-DAY, style=Style(naming=Naming.BOTH))
    planted = ground.planting.assign(ground.tenant, ground.who, ground.time)
    row, activity = GraphShape.HUNTING_ROW, GraphShape.ACTIVITY
    call = ground.planting.call_graph
    call(planted, ground.who, ground.after(-SECOND), (ground.address(), row), capitals=True)
    lower = "deviceappmanagement/mobileapps"
    call(planted, ground.who, ground.after(SECOND), (ground.address(), activity), path=lower)
    other = "deviceManagement/deviceConfigurations"
    call(planted, ground.who, ground.after(MINUTE), (ground.address(), activity), path=other)
    call(planted, ground.who, ground.after(MINUTE), ("", GraphShape.STREAMED))


def _the_neighbours_evidence(ground: Ground) -> None:
    """One technician, one audit event id in two tenants: risk and address of one stay there."""
    planting = ground.planting
    partner = planting.newcomer(ground.partner.domain)
    planted = planting.assign(ground.tenant, partner, ground.time)
    planting.risk(ground.tenant, partner, ground.after(-HOUR), "High")
    planting.call_graph(planted, partner, ground.time, (ground.address(), GraphShape.ACTIVITY))
    planting.label = "the_neighbours_evidence_seen_from_the_neighbour"
    ids = planted.audit_event_id, planted.correlation_id
    planting.assign(ground.elsewhere, partner, ground.time, Act(ids=ids))


def _actor_known_by_object_id(ground: Ground) -> None:
    """No UPN anywhere in the event; the object id finds the risk."""
    ground.risk(-HOUR, "Medium")
    ground.assign(Act(has_upn=False))


def _actor_known_by_upn(ground: Ground) -> None:
    """Identity says to look at the actor, who has a UPN and no object id."""
    ground.behavior(-HOUR, style=Style(naming=Naming.BOTH))
    ground.assign(Act(identity=NO_IDENTITY, has_object_id=False))


def _actor_as_text(ground: Ground) -> None:
    """An Actor given as JSON text is read."""
    ground.risk(-HOUR)
    ground.assign(Act(actor_as_text=True))


def _targets_as_object(ground: Ground) -> None:
    """Targets given as one object are read as mv-expand reads them."""
    ground.risk(-HOUR)
    ground.assign(Act(targets_as_object=True))


def _every_form(ground: Ground) -> None:
    """The same act in each wire form."""
    ground.risk(-HOUR, "Medium")
    for number, form in enumerate(Form):
        moment = ground.after(number * SECOND)
        ground.planting.assign(ground.tenant, ground.who, moment, Act(form=form))


def _copies_widen_the_window(ground: Ground) -> None:
    """A copy five minutes later: evidence in the window of either counts."""
    ground.risk(AFTER + 5 * MINUTE)
    ground.risk(-BEFORE, "Medium")
    ground.risk(AFTER + 5 * MINUTE + TICK, "Medium")
    ground.assign(Act(copy_after=5 * MINUTE, form=Form.TEXT))


def _busy_admin(ground: Ground) -> None:
    """Several assignments over a day and evidence around them: each has its own part of it."""
    chance = ground.planting.chance
    for _ in range(chance.randint(2, 5)):
        ground.risk(chance.randrange(-16 * DAY, 3 * DAY), chance.choice(("Medium", "High")))
        style = Style(naming=chance.choice(list(Naming)))
        ground.behavior(chance.randrange(-16 * DAY, 3 * DAY), chance.choice(ACTIONS), style)
    for _ in range(chance.randint(2, 4)):
        moment = ground.after(chance.randrange(0, 12 * HOUR))
        act = Act(copy_after=chance.choice((None, None, 3 * MINUTE)))
        ground.planting.assign(ground.tenant, ground.who, moment, act)


def _no_assignment(ground: Ground) -> None:
    """An admin at High risk does everything that is nearly an assignment of the kind sought."""
    ground.risk(-HOUR)
    for act in (
        Act(whom=((GROUP, "Required"),), counts=False),
        Act(whom=((ALL_USERS, "Available"),), counts=False),
        Act(whom=((ALL_DEVICES, "required"),), counts=False),
        Act(whom=SPLIT, target_name=None, counts=False),
        Act(operation="Delete MobileAppAssignment", counts=False),
        Act(operation="Patch mobileAppAssignment", counts=False),
        Act(operation="Create MobileAppAssignments", counts=False),
        Act(result_type="Failure", counts=False),
    ):
        ground.assign(act)


ALERTING: Final[tuple[Case, ...]] = (
    *(_high_risk, _medium_risk, _risk_in_other_case, _risk_by_object_id),
    *(_risk_by_composed_name, _risk_in_a_sentinel_row, _risk_in_a_bare_row),
    *(_risk_at_the_first_tick, _risk_at_the_last_tick, _risk_late_by_a_day),
    *(_assignment_late_by_a_day, _behavior_by_short_name, _behavior_by_whole_name),
    *(_behavior_without_upn, _behavior_at_both_ends, _delegated_admin),
    *(_delegated_admin_unnamed, _two_reasons, _three_reasons, _split_signals, _both_targets),
    *(_with_addresses, _addresses_in_other_spellings, _the_neighbours_evidence),
    *(_actor_known_by_object_id, _actor_known_by_upn, _actor_as_text, _targets_as_object),
    *(_every_form, _copies_widen_the_window),
)
"""Every assignment of these alerts when repaired."""

QUIET: Final[tuple[Case, ...]] = (
    *(_quiet_rollout, _risk_a_tick_too_early, _risk_a_tick_too_late),
    *(_behavior_a_tick_outside, _behavior_of_no_weight, _risk_of_no_weight),
    *(_delegated_in_words, _no_assignment),
)
"""No assignment of these alerts, in either matching."""

MIXED: Final[tuple[Case, ...]] = (_busy_admin,)

CASES: Final = (*ALERTING, *QUIET, *MIXED)


def name_of(case: Case) -> str:
    """Return the label under which a case stands in the ledger."""
    return case.__name__.removeprefix("_")


def plant(case: Case, ground: Ground) -> None:
    """Plant a case at its moment, cut to the millisecond as Intune knows it."""
    ground.planting.label = name_of(case)
    case(replace(ground, time=to_the_millisecond(ground.time)))
