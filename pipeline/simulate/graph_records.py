"""Graph activity on the wire: MicrosoftGraphActivityLogs and GraphAPIAuditEvents."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

from pipeline.core.event_time import EventTime, format_event_time
from pipeline.simulate.audit_records import PORTAL
from pipeline.simulate.defender_records import streamed
from pipeline.simulate.moments import short_form

GRAPH: Final = "https://graph.microsoft.com/beta"


class GraphShape(StrEnum):
    """Which of the tables a request to Graph comes from, and how."""

    ACTIVITY = "MicrosoftGraphActivityLogs of a diagnostic setting"
    HUNTING_ROW = "bare row of GraphAPIAuditEvents"
    STREAMED = "GraphAPIAuditEvents, streamed"
    PREVIEW_ROW = "bare row with IPAddress, as Microsoft's page spells it"


@dataclass(frozen=True, slots=True)
class GraphCall:
    """A request to Microsoft Graph."""

    tenant_id: str
    time: EventTime
    client_request_id: str
    request_id: str
    ip_address: str
    method: str
    uri: str
    user_id: str
    status: int = 200


def graph_record(call: GraphCall, shape: GraphShape) -> bytes:
    """Write a request in a shape."""
    if shape is GraphShape.ACTIVITY:
        return _activity_record(call)
    columns = {
        "Timestamp": short_form(call.time),
        "AccountObjectId": call.user_id,
        "EntityType": "user",
        "ApplicationId": PORTAL,
        "ServicePrincipalId": "",
        "ClientRequestId": call.client_request_id,
        "RequestId": call.request_id,
        "OperationId": call.request_id,
        "IPAddress" if shape is GraphShape.PREVIEW_ROW else "IpAddress": call.ip_address,
        "RequestMethod": call.method,
        "RequestUri": call.uri,
        "ResponseStatusCode": str(call.status),
        "RequestDuration": "412233",
        "ApiVersion": "beta",
        "Location": "West Europe",
        "IdentityProvider": "",
        "Scopes": "DeviceManagementApps.ReadWrite.All",
        "TargetWorkload": "Microsoft.Intune",
    }
    if shape is GraphShape.STREAMED:
        return streamed("GraphAPIAuditEvents", call.tenant_id, call.time, columns)
    return orjson.dumps({"TenantId": call.tenant_id, **columns})


def _activity_record(call: GraphCall) -> bytes:
    time = format_event_time(call.time)
    return orjson.dumps(
        {
            "time": time,
            "resourceId": f"/TENANTS/{call.tenant_id.upper()}/PROVIDERS/MICROSOFT.AADIAM",
            "operationName": "Microsoft Graph Activity",
            "operationVersion": "beta",
            "category": "MicrosoftGraphActivityLogs",
            "resultSignature": str(call.status),
            "durationMs": "412233",
            "callerIpAddress": call.ip_address,
            "correlationId": call.request_id,
            "level": "Informational",
            "location": "West Europe",
            "tenantId": call.tenant_id,
            "properties": {
                "timeGenerated": time,
                "location": "West Europe",
                "requestId": call.request_id,
                "operationId": call.request_id,
                "clientRequestId": call.client_request_id,
                "apiVersion": "beta",
                "requestMethod": call.method,
                "responseStatusCode": call.status,
                "tenantId": call.tenant_id,
                "durationMs": 412233,
                "responseSizeBytes": 611,
                "signInActivityId": "QmFzZTY0VG9rZW5JZEFB",
                "roles": "",
                "appId": PORTAL,
                "UserPrincipalObjectID": call.user_id,
                "scopes": "DeviceManagementApps.ReadWrite.All",
                "identityProvider": "",
                "clientAuthMethod": "0",
                "wids": "3a2c62db-5318-420d-8d74-23affee5d9d5",
                "C_Idtyp": "user",
                "ipAddress": call.ip_address,
                "userAgent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
                "requestUri": call.uri,
                "userId": call.user_id,
            },
        }
    )
