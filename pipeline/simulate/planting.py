"""Planting: each act writes its wire records and enters in the ledger what it means."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final

import orjson

from pipeline.core.event_time import EventTime
from pipeline.simulate.audit_records import (
    ALL_DEVICES,
    GROUP,
    NO_IDENTITY,
    NO_PARTNER,
    NOTHING,
    AuditEvent,
    Form,
    JsonObject,
    actor_of,
    assignment_object_id,
    assignment_target,
    audit_record,
    target_of,
)
from pipeline.simulate.defender_records import (
    Account,
    BehaviorRow,
    IdentityRow,
    Shape,
    behavior_id,
    behavior_record,
    identity_record,
    other_entity_records,
)
from pipeline.simulate.delivery import Delivery, Kind, delivered_again
from pipeline.simulate.dice import guid, one_in
from pipeline.simulate.expected import (
    Ledger,
    PlantedAssignment,
    PlantedBehavior,
    PlantedRequest,
    PlantedRisk,
)
from pipeline.simulate.graph_records import GRAPH, GraphCall, GraphShape, graph_record
from pipeline.simulate.moments import MINUTE, SECOND, later, to_the_millisecond
from pipeline.simulate.tenants import PARTNER_TENANT, Person, Tenant, draw_person

_COPIED_IN: Final = 28  # one record in so many arrives twice


class Naming(StrEnum):
    """Which columns of a row name the account, and how."""

    USUAL = "as its table names accounts"
    OTHER_CASE = "the UPN in other case, no object id"
    OBJECT_ID = "the object id only"
    COMPOSED = "AccountName and AccountDomain only"
    WHOLE_UPN = "the whole UPN in AccountName, no AccountUpn"
    BOTH = "the whole UPN in AccountName and in AccountUpn"


@dataclass(frozen=True, slots=True)
class Style:
    """How a row of evidence comes, where not as usual, and whether it counts.

    `kind` is the identity type of a risk row; a behaviour may lack its User row.
    """

    shape: Shape = Shape.STREAMED
    naming: Naming = Naming.USUAL
    kind: str = "User"
    arrival: EventTime | None = None
    user_row: bool = True
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Act:
    """How an assignment is made, where it is not made as usual.

    `identity` is the column Identity, by default the UPN. With `known_by` the actor is told by
    its UPN, its object id, or both. `whom` are target types with their intents. `copy_after`
    gives the record a copy whose event time is so many ticks later; `ids` are the audit event id
    and the correlation id, when a case needs certain ones.
    """

    operation: str = "Create MobileAppAssignment"
    result_type: str = "Success"
    whom: tuple[tuple[str, str], ...] = ((ALL_DEVICES, "Required"),)
    target_name: str | None = NOTHING
    split_signals: bool = False
    identity: str | None = None
    has_upn: bool = True
    has_object_id: bool = True
    is_delegated_admin: object = False
    actor_as_text: bool = False
    targets_as_object: bool = False
    form: Form | None = None
    arrival: EventTime | None = None
    copy_after: int | None = None
    ids: tuple[str, str] | None = None
    counts: bool = True


@dataclass(slots=True)
class Planting:
    """Collects deliveries and the ledger of one simulation; all chance comes from one place."""

    chance: Random
    ledger: Ledger = field(default_factory=Ledger)
    deliveries: list[Delivery] = field(default_factory=list)
    label: str = ""

    def newcomer(self, domain: str) -> Person:
        """Draw an admin whom nothing else in the traffic is about."""
        return draw_person(self.chance, domain)

    def assign(
        self,
        tenant: Tenant,
        who: Person,
        time: EventTime,
        act: Act | None = None,
    ) -> PlantedAssignment:
        """Let somebody assign an app, at a moment that Intune knows to the millisecond.

        Returns:
            What the ledger knows of it; it is entered only if the act counts.
        """
        act = act or Act()
        time = to_the_millisecond(time)
        audit_event_id, correlation_id = act.ids or (guid(self.chance), guid(self.chance))
        event = self._audit_event(tenant, who, time, act, (audit_event_id, correlation_id))
        record = audit_record(event, act.form or tenant.audit_form)
        arrives = act.arrival or self._soon(time)
        self._deliver(tenant.id, Kind.AUDIT, record, arrives)
        times = [time]
        if act.copy_after is not None:
            times.append(later(time, act.copy_after))
            again = delivered_again(record, times[1])
            self._deliver(tenant.id, Kind.AUDIT, again, later(arrives, 7 * MINUTE))
        planted = self._entry(tenant, who, act, event, tuple(times))
        if act.counts:
            self.ledger.assignments.append(planted)
        return planted

    def risk(
        self,
        tenant: Tenant,
        who: Person,
        time: EventTime,
        level: str | None,
        style: Style | None = None,
    ) -> None:
        """Let Entra say how much at risk somebody is."""
        style = style or Style()
        account = _identity_account(who, style.naming)
        row = IdentityRow(tenant.id, time, account, level, style.kind)
        record = identity_record(row, style.shape, self.chance)
        self._deliver(tenant.id, Kind.IDENTITY_INFO, record, style.arrival or self._soon(time))
        if not style.counts or level is None:
            return
        is_overlooked = style.shape is Shape.SENTINEL or level not in {"Medium", "High"}
        joins = "" if is_overlooked else account.upn or ""
        handles = _handles(who, style.naming, account)
        self.ledger.risks.append(PlantedRisk(tenant.id, time, handles, joins, level))

    def behavior(
        self,
        tenant: Tenant,
        who: Person,
        time: EventTime,
        action_type: str,
        style: Style | None = None,
    ) -> None:
        """Let Defender see a behaviour; the rows of all its entities are sent."""
        style = style or Style()
        account = _behavior_account(who, style.naming)
        row = BehaviorRow(tenant.id, time, behavior_id(self.chance), action_type, account)
        records = other_entity_records(row, style.shape, "203.0.113.9")
        if style.user_row:
            records.insert(self.chance.randrange(3), behavior_record(row, style.shape))
        arrives = style.arrival or self._soon(time)
        for record in records:
            self._deliver(tenant.id, Kind.BEHAVIOR_ENTITIES, record, arrives)
        if not style.counts or not style.user_row:
            return
        handles = _handles(who, style.naming, account)
        joins = account.name or ""
        self.ledger.behaviors.append(
            PlantedBehavior(tenant.id, time, handles, joins, row.behavior_id, action_type)
        )

    def call_graph(
        self,
        planted: PlantedAssignment,
        who: Person,
        time: EventTime,
        seen: tuple[str, GraphShape],
        *,
        path: str = "deviceAppManagement/mobileApps",
        capitals: bool = False,
    ) -> None:
        """Let Graph record a request that belongs to an assignment.

        Args:
            planted: the assignment.
            who: whose request it is.
            time: when it was made.
            seen: the address from which it came, and the shape in which it is recorded.
            path: what it asks for.
            capitals: whether the request id is written in capitals.
        """
        request_id = planted.correlation_id.upper() if capitals else planted.correlation_id
        call = GraphCall(
            tenant_id=planted.tenant_id,
            time=time,
            client_request_id=request_id,
            request_id=guid(self.chance),
            ip_address=seen[0],
            method="POST",
            uri=f"{GRAPH}/{path}/{guid(self.chance)}/assign",
            user_id=who.object_id,
            status=201,
        )
        record = graph_record(call, seen[1])
        self._deliver(planted.tenant_id, Kind.GRAPH_ACTIVITY, record, self._soon(time))
        is_app_management = "deviceappmanagement" in path.lower()
        self.ledger.requests.append(
            PlantedRequest(planted.tenant_id, time, request_id, seen[0], is_app_management)
        )

    def _soon(self, time: EventTime) -> EventTime:
        return later(time, self.chance.randrange(20 * SECOND, 25 * MINUTE))

    def _deliver(self, tenant_id: str, kind: Kind, record: bytes, arrival: EventTime) -> None:
        self.deliveries.append(Delivery(arrival, tenant_id, kind, record))
        if kind is not Kind.AUDIT and one_in(self.chance, _COPIED_IN):
            copied = later(arrival, self.chance.randrange(MINUTE, 20 * MINUTE))
            again = delivered_again(record, copied)
            self.deliveries.append(Delivery(copied, tenant_id, kind, again))

    def _audit_event(
        self, tenant: Tenant, who: Person, time: EventTime, act: Act, ids: tuple[str, str]
    ) -> AuditEvent:
        app, group = self.chance.choice(tenant.apps), guid(self.chance)
        delegated = act.is_delegated_admin is True
        actor = actor_of(
            who.upn if act.has_upn else None,
            who.object_id if act.has_object_id else None,
            is_delegated_admin=act.is_delegated_admin,
            partner_tenant_id=PARTNER_TENANT if delegated else NO_PARTNER,
        )
        assigned = [
            assignment_target(target_type, intent, group, name=act.target_name)
            for target_type, intent in act.whom
        ]
        targets: Sequence[JsonObject] | JsonObject = [target_of(app.name), *assigned]
        if act.targets_as_object:
            targets = assigned[0]
        own = who.upn if act.has_upn else NO_IDENTITY
        return AuditEvent(
            tenant_id=tenant.id.upper() if one_in(self.chance, 10) else tenant.id,
            time=time,
            operation=act.operation,
            audit_event_id=ids[0],
            correlation_id=ids[1],
            identity=own if act.identity is None else act.identity,
            category=5,
            actor=orjson.dumps(actor).decode() if act.actor_as_text else actor,
            targets=targets,
            target_object_ids=[
                app.object_id,
                *(assignment_object_id(target, intent, group) for target, intent in act.whom),
            ],
            result_type=act.result_type,
            target_display_names=[app.name, *(NOTHING for _ in act.whom)],
            additional_details="Key = GroupPropertyNamesValue = Target.GroupId\r\n",
        )

    def _entry(
        self, tenant: Tenant, who: Person, act: Act, event: AuditEvent, times: tuple[EventTime, ...]
    ) -> PlantedAssignment:
        upns = {who.upn} if act.has_upn else set()
        names = upns | ({event.identity} - {NO_IDENTITY})
        object_ids = (who.object_id,) if act.has_object_id else ()
        return PlantedAssignment(
            tenant_id=tenant.id,
            audit_event_id=event.audit_event_id,
            label=self.label,
            times=times,
            handles=frozenset({name.lower() for name in names} | set(object_ids)),
            joins=event.identity,
            is_delegated_admin=act.is_delegated_admin is True,
            split_signals=act.split_signals,
            correlation_id=event.correlation_id,
            identities=tuple(sorted(names)),
            object_ids=object_ids,
        )


SPLIT: Final = ((GROUP, "Required"), (ALL_DEVICES, "Available"))
"""Two targets of one name: one is Required, the other is everybody."""


def _identity_account(who: Person, naming: Naming) -> Account:
    shown = who.display_name
    match naming:
        case Naming.OTHER_CASE:
            return Account(shown, who.domain, who.upn.swapcase(), None, shown)
        case Naming.OBJECT_ID:
            return Account(shown, None, None, who.object_id, shown)
        case Naming.COMPOSED:
            return Account(who.short_name, who.domain, None, None, shown)
        case Naming.WHOLE_UPN:
            return Account(who.upn, None, None, None, shown)
        case Naming.USUAL | Naming.BOTH:
            return Account(shown, who.domain, who.upn, who.object_id, shown)


def _behavior_account(who: Person, naming: Naming) -> Account:
    match naming:
        case Naming.USUAL:
            return Account(who.short_name, who.domain, who.upn, None)
        case Naming.OTHER_CASE:
            return Account(who.short_name, who.domain, who.upn.swapcase(), None)
        case Naming.OBJECT_ID:
            return Account("", None, None, who.object_id)
        case Naming.COMPOSED:
            return Account(who.short_name, who.domain, None, None)
        case Naming.WHOLE_UPN:
            return Account(who.upn, None, None, None)
        case Naming.BOTH:
            return Account(who.upn, who.domain, who.upn, who.object_id)


def _handles(who: Person, naming: Naming, account: Account) -> frozenset[str]:
    names = set() if naming is Naming.OBJECT_ID else {who.upn.lower()}
    return frozenset(names if account.object_id is None else names | {account.object_id})
