"""IntuneAuditLogs on the wire: what an audit event says, and the forms in which it comes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import orjson

from pipeline.core.event_time import EventTime, format_event_time
from pipeline.simulate.moments import us_form

JsonObject = dict[str, object]

NOTHING: Final = "<null>"
NO_IDENTITY: Final = "See Actor details in properties"
NO_PARTNER: Final = "00000000-0000-0000-0000-000000000000"
PORTAL: Final = "5926fc8e-304e-4f59-8bed-58ca97cc39a4"
PORTAL_NAME: Final = "Microsoft Intune portal extension"
API_VERSION: Final = "5026-01-15"
ALL_USERS: Final = "AllLicensedUsersAssignmentTarget"
ALL_DEVICES: Final = "AllDevicesAssignmentTarget"
GROUP: Final = "GroupAssignmentTarget"

_VIRTUAL_GROUPS: Final = {
    ALL_USERS: "acacacac-9df4-4c7d-9d50-4ef0226f57a9",
    ALL_DEVICES: "adadadad-808e-44e2-905a-0b7873a8a531",
}
_INTENTS: Final = {"Available": 0, "Required": 1, "Uninstall": 2}
ACTIVITIES: Final = {"Create": 0, "Delete": 1, "Patch": 2, "SetReference": 4}
"""The number of a verb in ActivityType; every other one is an Action, 3."""


class Form(StrEnum):
    """How an audit event comes: its properties as an object or a text, or as a bare row."""

    OBJECT = "object"
    TEXT = "text"
    TEXT_IN_TEXT = "text in text"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One audit event before it takes a form."""

    tenant_id: str
    time: EventTime
    operation: str
    audit_event_id: str
    correlation_id: str
    identity: str
    category: int
    actor: JsonObject | str
    targets: Sequence[JsonObject] | JsonObject
    target_object_ids: Sequence[str]
    result_type: str = "Success"
    additional_details: str = ""
    target_display_names: Sequence[str] = field(default=(NOTHING,))


def audit_record(event: AuditEvent, form: Form) -> bytes:
    """Write an audit event in a form."""
    properties: object = _properties(event)
    if form is not Form.OBJECT:
        properties = orjson.dumps(properties).decode()
    if form is Form.TEXT_IN_TEXT:
        properties = orjson.dumps(properties).decode()
    if form is Form.ROW:
        return _row(event, properties)
    return orjson.dumps(
        {
            "time": format_event_time(event.time),
            "tenantId": event.tenant_id,
            "category": "AuditLogs",
            "operationName": event.operation,
            "properties": properties,
            "resultType": event.result_type,
            "resultDescription": "None",
            "correlationId": event.correlation_id,
            "identity": event.identity,
        }
    )


def actor_of(
    upn: str | None,
    object_id: str | None,
    *,
    actor_type: int = 1,
    application: tuple[str | None, str | None] = (PORTAL, PORTAL_NAME),
    is_delegated_admin: object = False,
    partner_tenant_id: str = NO_PARTNER,
    permissions: str = "*",
) -> JsonObject:
    """Return an Actor; without UPN and object id it is a machine or an application."""
    return {
        "ActorType": actor_type,
        "Application": application[0],
        "ApplicationName": application[1],
        "IsDelegatedAdmin": is_delegated_admin,
        "Name": None,
        "ObjectId": object_id,
        "PartnerTenantId": partner_tenant_id,
        "UserPermissions": [permissions],
        "UPN": upn,
    }


def target_of(name: str | None, *modified: tuple[str, str | None]) -> JsonObject:
    """Return a target whose properties were given these new values."""
    return {
        "ModifiedProperties": [{"Name": key, "Old": None, "New": new} for key, new in modified],
        "Name": name,
    }


def assignment_target(
    target_type: str, intent: str, group_id: str, *, name: str | None = NOTHING
) -> JsonObject:
    """Return the target that says to whom an app goes, and how; the group may be virtual."""
    group = (("Target.GroupId", group_id),) if target_type == GROUP else ()
    return target_of(
        name,
        ("Target.Type", target_type),
        ("Settings.Type", "Win32LobAppAssignmentSettings"),
        ("Id", assignment_object_id(target_type, intent, group_id)),
        ("Intent", intent),
        *group,
        ("Target.DeviceAndAppManagementAssignmentFilterId", NOTHING),
        ("Target.DeviceAndAppManagementAssignmentFilterType", "None"),
        ("Settings.Notifications", "ShowAll"),
        ("Settings.DeliveryOptimizationPriority", "NotConfigured"),
        ("Source", "Direct"),
        ("SourceId", NOTHING),
        ("DeviceManagementAPIVersion", API_VERSION),
    )


def assignment_object_id(target_type: str, intent: str, group_id: str) -> str:
    """Return the id of an assignment: `<group>_<intent>_<source>`."""
    group = _VIRTUAL_GROUPS.get(target_type, group_id)
    return f"{group}_{_INTENTS.get(intent, 1)}_0"


def _properties(event: AuditEvent) -> JsonObject:
    return {
        "ActivityDate": us_form(event.time),
        "ActivityResultStatus": 1 if event.result_type == "Success" else 2,
        "ActivityType": ACTIVITIES.get(event.operation.partition(" ")[0], 3),
        "Actor": event.actor,
        "AdditionalDetails": event.additional_details,
        "AuditEventId": event.audit_event_id,
        "Category": event.category,
        "RelationId": None,
        "TargetDisplayNames": list(event.target_display_names),
        "TargetObjectIds": list(event.target_object_ids),
        "Targets": event.targets,
    }


def _row(event: AuditEvent, properties: object) -> bytes:
    return orjson.dumps(
        {
            "TenantId": event.tenant_id,
            "SourceSystem": "Azure AD",
            "TimeGenerated": format_event_time(event.time),
            "OperationName": event.operation,
            "ResultType": event.result_type,
            "ResultDescription": "None",
            "CorrelationId": event.correlation_id,
            "Identity": event.identity,
            "Category": "AuditLogs",
            "Properties": properties,
            "Type": "IntuneAuditLogs",
        }
    )
