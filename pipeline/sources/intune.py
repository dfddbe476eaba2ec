"""IntuneAuditLogs: audit events that make an app Required for everybody."""

import hashlib
from collections.abc import Sequence
from typing import Final

from pipeline.core.detection import (
    PROPERTIES_THAT_COUNT,
    MassAssignment,
    ModifiedProperty,
    Target,
    detect,
    is_assignment_operation,
)
from pipeline.core.event_time import EventTime, parse_event_time
from pipeline.core.evidence import is_nothing
from pipeline.core.model import Actor, App, Assignment
from pipeline.sources.outcome import Decoded, Ignored, Malformed, Why
from pipeline.sources.reading import (
    Json,
    NotJsonError,
    Row,
    expanded,
    first_text,
    json_text,
    nested,
    object_id,
    read_json,
    text_of,
)
from pipeline.sources.tenant import Owner

_ENTRA: Final = "/providers/microsoft.aadiam"


def decode_audit(record: Row, owner: Owner) -> Decoded:
    """Decode an audit event, as a diagnostic record or as a row of the table.

    Args:
        record: Columns in either spelling (`operationName`, `OperationName`).
        owner: Whose it is.
    """
    if is_of_entra(record):
        return Ignored(Why.ENTRA_AUDIT)
    operation = text_of(column(record, "operationName"))
    if not is_assignment_operation(operation, text_of(column(record, "resultType"))):
        return Ignored(Why.OTHER_OPERATION)
    stored = column(record, "properties")
    if stored is None or stored == "":
        return Ignored(Why.NO_PROPERTIES)
    try:
        properties = nested(stored)
    except NotJsonError:
        return Malformed("Properties: not JSON")
    if not isinstance(properties, dict):
        return Ignored(Why.NOT_FOR_EVERYBODY)
    assigned = detect(targets_of(properties))
    if assigned is None:
        return Ignored(Why.NOT_FOR_EVERYBODY)
    return _assignment(record, owner, properties, assigned)


def _assignment(
    record: Row, owner: Owner, properties: dict[str, Json], assigned: MassAssignment
) -> Decoded:
    event_time = parse_event_time(column(record, "time", "TimeGenerated"))
    if event_time is None:
        return Malformed("time: no readable event time")
    if not owner.tenant_id:
        return Malformed("tenantId: no tenant")
    identity = text_of(column(record, "identity"))
    correlation_id = text_of(column(record, "correlationId"))
    operation = text_of(column(record, "operationName"))
    audit_event_id = first_text(properties, "AuditEventId") or _derived_id(
        owner.tenant_id, event_time, operation, identity, correlation_id, properties
    )
    return Assignment(
        tenant_id=owner.tenant_id,
        audit_event_id=audit_event_id,
        event_time=event_time,
        operation=operation,
        identity=identity,
        correlation_id=correlation_id,
        target_types=assigned.target_types,
        split_signals=assigned.split_signals,
        actor=_actor(properties.get("Actor")),
        app=_app(properties),
    )


def column(record: Row, name: str, other: str = "") -> Json:
    """Return a member by its diagnostic name, else by its column's name."""
    value = record.get(name)
    return record.get(other or name[0].upper() + name[1:]) if value is None else value


def is_of_entra(record: Row) -> bool:
    """Tell whether an audit event comes from Entra, whose category has the same name."""
    return _ENTRA in text_of(column(record, "resourceId")).lower()


def targets_of(properties: Row) -> list[Target]:
    """Return the targets of an audit event."""
    return [_target(one) for one in expanded(properties.get("Targets"))]


def _target(target: Json) -> Target:
    if not isinstance(target, dict):
        return Target(group=text_of(target), properties=())
    return Target(
        group=text_of(target.get("Name")) or text_of(target),
        properties=tuple(
            ModifiedProperty(name, _exact(one.get("New")))
            for one in expanded(target.get("ModifiedProperties"))
            if isinstance(one, dict) and (name := _exact(one.get("Name"))) in PROPERTIES_THAT_COUNT
        ),
    )


def _exact(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _actor(stored: Json) -> Actor:
    actor = _object_in(stored)
    return Actor(
        upn=first_text(actor, "UPN"),
        object_id=object_id(actor, "ObjectId"),
        is_delegated_admin=actor.get("IsDelegatedAdmin") is True,
        partner_tenant_id=object_id(actor, "PartnerTenantId"),
        application_id=first_text(actor, "Application"),
        application_name=first_text(actor, "ApplicationName"),
    )


def _object_in(stored: Json) -> dict[str, Json]:
    """Return an object, also one that came as JSON text; empty when it is neither."""
    if isinstance(stored, str):
        try:
            stored = read_json(stored)
        except NotJsonError:
            return {}  # an actor nobody can read names nobody; the assignment itself still counts
    return stored if isinstance(stored, dict) else {}


def _app(properties: Row) -> App:
    """Find the app among the targets: the first that has a name of its own."""
    names, ids = (_list(properties.get(of)) for of in ("TargetDisplayNames", "TargetObjectIds"))
    for place, name in enumerate(names):
        if not is_nothing(text_of(name)):
            object_id = text_of(ids[place]).lower() if place < len(ids) else ""
            return App(name=text_of(name), object_id=object_id)
    for target in expanded(properties.get("Targets")):
        if isinstance(target, dict) and (name := first_text(target, "Name")):
            return App(name=name)
    return App()


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


def _derived_id(tenant: str, event_time: EventTime, *content: Json) -> str:
    """Name an event that has no id by its content, however its Properties were wrapped."""
    text = json_text([tenant, event_time, *content])
    return f"no-id:{hashlib.sha256(text.encode()).hexdigest()[:32]}"
