"""Builders of facts and of wire records: a test names what matters to it, they fill in the rest."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.core.event_time import EventTime, event_time_of, ticks
from pipeline.core.evidence import Matching
from pipeline.core.model import Actor, App, Assignment, Behavior, GraphRequest, Risk
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Decoded

TENANT = "7d1c2b9e-4a55-4f0e-9c1d-0b7a6f3e2d10"
OTHER_TENANT = "16a5d7c2-90b4-4f61-8f35-c1f2d6e0b7aa"
PARTNER = "b3e1f0a4-5c27-4d8e-9f61-2a7c8d9e0f12"
DANA = "Dana.Admin@example.org"
DANA_ID = "3f0d9a52-11c4-4e0b-8a37-5c2e9b7d6a01"
NOBODY_ID = "00000000-0000-0000-0000-000000000000"
REQUEST = "c2a7f5de-8d13-4b6a-9e52-7f0b4c1d8e90"
EVENT = "b5b0d1c7-62f4-4d8e-9a0e-2f6c1e7a9d33"
APPS_URI = "https://graph.example.org/beta/deviceAppManagement/mobileApps/0e9f/assign"

MONDAY = event_time_of(datetime(2026, 3, 2, 9, 12, 41, 553000, tzinfo=UTC))
MONDAY_TEXT = "2026-03-02T09:12:41.5530000Z"

JsonObject = dict[str, Any]
ABSENT = object()
"""Leaves a member out of a wire record."""


def shifted(at: EventTime, by: timedelta = timedelta(), *, plus_ticks: int = 0) -> EventTime:
    """Return an event time earlier or later than another."""
    return EventTime(at + ticks(by) + plus_ticks)


def an_assignment(
    *,
    at: EventTime = MONDAY,
    tenant: str = TENANT,
    event_id: str = EVENT,
    identity: str = DANA,
    upn: str = DANA,
    object_id: str = DANA_ID,
    delegated: bool = False,
    partner: str = "",
    correlation_id: str = REQUEST,
    operation: str = "Create MobileAppAssignment",
    target_types: tuple[str, ...] = ("AllDevicesAssignmentTarget",),
    split: bool = False,
    app: str = "Remote Helper 4.2",
) -> Assignment:
    """Build an assignment that Dana made on Monday."""
    return Assignment(
        tenant_id=tenant,
        audit_event_id=event_id,
        event_time=at,
        operation=operation,
        identity=identity,
        correlation_id=correlation_id,
        target_types=target_types,
        split_signals=split,
        actor=Actor(
            upn=upn, object_id=object_id, is_delegated_admin=delegated, partner_tenant_id=partner
        ),
        app=App(name=app),
    )


def a_risk(
    *,
    at: EventTime = MONDAY,
    tenant: str = TENANT,
    level: str = "Medium",
    upn: str = DANA,
    account_upn: str | None = None,
    object_id: str = "",
) -> Risk:
    """Build a risk of Dana's."""
    return Risk(
        tenant_id=tenant,
        event_time=at,
        level=level,
        upn=upn,
        account_upn=upn if account_upn is None else account_upn,
        object_id=object_id,
    )


def a_behavior(
    *,
    at: EventTime = MONDAY,
    tenant: str = TENANT,
    behavior_id: str = "oa7c1f09",
    action_type: str = "ImpossibleTravelActivity",
    upn: str = DANA,
    account_name: str = "dana.admin",
    object_id: str = "",
) -> Behavior:
    """Build a behavior of Dana's."""
    return Behavior(
        tenant_id=tenant,
        event_time=at,
        behavior_id=behavior_id,
        action_type=action_type,
        upn=upn,
        account_name=account_name,
        object_id=object_id,
    )


def a_graph_request(
    *,
    at: EventTime = MONDAY,
    tenant: str = TENANT,
    client_request_id: str = REQUEST,
    request_id: str = "4b7e90d1",
    ip: str = "203.0.113.77",
    uri: str = APPS_URI,
) -> GraphRequest:
    """Build the Graph request behind Dana's assignment."""
    return GraphRequest(
        tenant_id=tenant,
        event_time=at,
        client_request_id=client_request_id,
        request_id=request_id,
        ip_address=ip,
        uri=uri,
    )


def modified(name: str, new: object) -> JsonObject:
    """Build one entry of ModifiedProperties."""
    return {"Name": name, "Old": None, "New": new}


REQUIRED = modified("Intent", "Required")
ALL_DEVICES = modified("Target.Type", "AllDevicesAssignmentTarget")
ALL_USERS = modified("Target.Type", "AllLicensedUsersAssignmentTarget")
A_GROUP = modified("Target.Type", "GroupAssignmentTarget")


def a_target(*properties: JsonObject, name: object = "<null>") -> JsonObject:
    """Build one element of Targets."""
    return {"ModifiedProperties": list(properties), "Name": name}


def actor_object(**members: object) -> JsonObject:
    """Build the Actor of an audit event as Intune writes it."""
    usual: JsonObject = {
        "ActorType": 1,
        "Application": "5926fc8e-304e-4f59-8bed-58ca97cc39a4",
        "ApplicationName": "Microsoft Intune portal extension",
        "IsDelegatedAdmin": False,
        "Name": None,
        "ObjectId": DANA_ID,
        "PartnerTenantId": NOBODY_ID,
        "UserPermissions": ["*"],
        "UPN": DANA,
    }
    return _object(usual, members)


def audit_properties(**members: object) -> JsonObject:
    """Build the Properties of an event that makes an app Required for all devices."""
    return _object(
        {
            "ActivityDate": "3/2/2026 9:12:41 AM",
            "ActivityResultStatus": 1,
            "ActivityType": 0,
            "Actor": actor_object(),
            "AdditionalDetails": "",
            "AuditEventId": EVENT,
            "Category": 5,
            "RelationId": None,
            "TargetDisplayNames": ["Remote Helper 4.2", "<null>"],
            "TargetObjectIds": ["0E9F4C1A-7B52-4C8D-B1A6-9D3F2E5A7C44", "adadadad_1_0"],
            "Targets": [a_target(name="Remote Helper 4.2"), a_target(ALL_DEVICES, REQUIRED)],
        },
        members,
    )


def audit_record(**members: object) -> JsonObject:
    """Build such an event as a diagnostic setting sends it."""
    return _object(
        {
            "time": MONDAY_TEXT,
            "tenantId": TENANT,
            "category": "AuditLogs",
            "operationName": "Create MobileAppAssignment",
            "properties": audit_properties(),
            "resultType": "Success",
            "resultDescription": "None",
            "correlationId": REQUEST,
            "identity": DANA,
        },
        members,
    )


def audit_row(**members: object) -> JsonObject:
    """Build such an event as a row of the table in Log Analytics."""
    return _object(
        {
            "TimeGenerated": MONDAY_TEXT,
            "TenantId": TENANT,
            "OperationName": "Create MobileAppAssignment",
            "Category": "AuditLogs",
            "Identity": DANA,
            "CorrelationId": REQUEST,
            "ResultType": "Success",
            "ResultDescription": "None",
            "Properties": json.dumps(audit_properties()),
            "Type": "IntuneAuditLogs",
        },
        members,
    )


def identity_row(**members: object) -> JsonObject:
    """Build a row of Defender's IdentityInfo: Dana is at high risk."""
    return _object(
        {
            "Timestamp": MONDAY_TEXT,
            "ReportId": "1f4d7c02",
            "AccountName": "Dana Admin",
            "AccountDomain": "example.org",
            "AccountUpn": DANA,
            "AccountObjectId": DANA_ID,
            "RiskLevel": "High",
            "Tags": [],
            "Type": "User",
        },
        members,
    )


def sentinel_row(**members: object) -> JsonObject:
    """Build the same as Sentinel's IdentityInfo has it."""
    return _object(
        {
            "TimeGenerated": MONDAY_TEXT,
            "TenantId": TENANT,
            "AccountUPN": DANA,
            "AccountObjectId": DANA_ID,
            "AccountName": "dana.admin",
            "UserType": "Member",
            "RiskLevel": "High",
            "RiskState": "AtRisk",
            "Type": "IdentityInfo",
        },
        members,
    )


def behavior_row(**members: object) -> JsonObject:
    """Build a row of BehaviorEntities: Dana travels impossibly."""
    return _object(
        {
            "Timestamp": MONDAY_TEXT,
            "BehaviorId": "oa7c1f09",
            "ActionType": "ImpossibleTravelActivity",
            "Categories": '["InitialAccess"]',
            "EntityType": "User",
            "EntityRole": "Impacted",
            "AccountName": "dana.admin",
            "AccountDomain": "example.org",
            "AccountUpn": DANA,
            "AdditionalFields": '{"Type":"account","Name":"dana.admin"}',
        },
        members,
    )


def graph_row(**members: object) -> JsonObject:
    """Build a row of GraphAPIAuditEvents."""
    return _object(
        {
            "Timestamp": MONDAY_TEXT,
            "AccountObjectId": DANA_ID,
            "ApplicationId": "5926fc8e",
            "ClientRequestId": REQUEST,
            "RequestId": "4b7e90d1",
            "IpAddress": "203.0.113.77",
            "RequestMethod": "POST",
            "RequestUri": APPS_URI,
            "ResponseStatusCode": "201",
        },
        members,
    )


def activity_properties(**members: object) -> JsonObject:
    """Build the properties of a record of MicrosoftGraphActivityLogs."""
    return _object(
        {
            "timeGenerated": MONDAY_TEXT,
            "requestId": "4b7e90d1",
            "clientRequestId": REQUEST,
            "requestMethod": "POST",
            "responseStatusCode": 201,
            "appId": "5926fc8e",
            "ipAddress": "203.0.113.77",
            "requestUri": APPS_URI,
            "userId": DANA_ID,
        },
        members,
    )


def activity_record(**members: object) -> JsonObject:
    """Build a record of MicrosoftGraphActivityLogs as a diagnostic setting sends it."""
    return _object(
        {
            "time": "2026-03-02T09:12:42.0000000Z",
            "resourceId": "/TENANTS/7D1C2B9E/PROVIDERS/MICROSOFT.AADIAM",
            "operationName": "Microsoft Graph Activity",
            "category": "MicrosoftGraphActivityLogs",
            "callerIpAddress": "203.0.113.78",
            "correlationId": "4b7e90d1",
            "tenantId": TENANT,
            "properties": activity_properties(),
        },
        members,
    )


def hunting_record(table: str, row: object, **members: object) -> JsonObject:
    """Wrap a row as Defender's streaming API does; `time` is when it was published."""
    return _object(
        {
            "time": "2026-03-02T11:00:00.0000000Z",
            "tenantId": TENANT,
            "operationName": "Publish",
            "category": f"AdvancedHunting-{table}",
            "_TimeReceivedBySvc": "2026-03-02T10:59:59.0000000Z",
            "Tenant": "DefaultTenant",
            "properties": row,
        },
        members,
    )


def owned(row: JsonObject, tenant: str = TENANT) -> JsonObject:
    """Give a bare row of advanced hunting a tenant."""
    return {"TenantId": tenant, **row}


def value_of(document: object) -> bytes:
    """Write a document as the value of a Kafka record."""
    return json.dumps(document).encode()


def envelope(*records: object) -> bytes:
    """Write records as one value of an Event Hub."""
    return value_of({"records": list(records)})


def decoded(document: object, matching: Matching = Matching.REPAIRED) -> Decoded:
    """Decode a value that is one record."""
    (record,) = Decoder(matching)(value_of(document))
    return record.decoded


def assignment_in(targets: object, **members: object) -> Decoded:
    """Decode an audit event with these targets."""
    return decoded(audit_record(properties=audit_properties(Targets=targets, **members)))


def _object(members: JsonObject, instead: JsonObject) -> JsonObject:
    return {name: of for name, of in {**members, **instead}.items() if of is not ABSENT}
