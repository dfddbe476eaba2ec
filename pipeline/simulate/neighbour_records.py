"""What else lies in the same topics: Intune's other categories, and Entra's audit log."""

from random import Random
from typing import Final

import orjson

from pipeline.core.event_time import EventTime, format_event_time
from pipeline.simulate.dice import guid
from pipeline.simulate.tenants import Tenant

_ENTRA_OPERATIONS: Final = ("Update user", "Add member to group", "Update service principal")


def neighbour_record(chance: Random, tenant: Tenant, time: EventTime) -> bytes:
    """Write a record of a neighbour, by chance one that reads like an assignment."""
    write = chance.choices((_entra, _compliance, _device, _device_compliance), (5, 3, 1, 2))[0]
    return write(chance, tenant, time)


def _diagnostic(
    tenant: Tenant, time: EventTime, category: str, operation: str
) -> dict[str, object]:
    return {
        "time": format_event_time(time),
        "tenantId": tenant.id,
        "category": category,
        "operationName": operation,
        "resultType": "None",
    }


def _entra(chance: Random, tenant: Tenant, time: EventTime) -> bytes:
    admin, user = chance.choice(tenant.admins), chance.choice(tenant.users)
    changed = [
        {"displayName": "Target.Type", "oldValue": None, "newValue": "AllDevicesAssignmentTarget"},
        {"displayName": "Intent", "oldValue": None, "newValue": '"Required"'},
        {"displayName": "Included Updated Properties", "oldValue": None, "newValue": "RiskLevel"},
    ]
    operation = chance.choice((*_ENTRA_OPERATIONS, "Create MobileAppAssignment"))
    correlation_id = guid(chance)
    return orjson.dumps(
        {
            "time": format_event_time(time),
            "resourceId": f"/tenants/{tenant.id}/providers/Microsoft.aadiam",
            "tenantId": tenant.id,
            "category": "AuditLogs",
            "operationName": operation,
            "operationVersion": "1.0",
            "resultType": "Success",
            "identity": admin.display_name,
            "correlationId": correlation_id,
            "level": "Informational",
            "properties": {
                "id": f"Directory_{guid(chance)}",
                "category": "UserManagement",
                "correlationId": correlation_id,
                "result": "success",
                "activityDisplayName": operation,
                "activityDateTime": format_event_time(time),
                "loggedByService": "Core Directory",
                "initiatedBy": {
                    "user": {"id": admin.object_id, "userPrincipalName": admin.upn},
                },
                "targetResources": [
                    {
                        "id": user.object_id,
                        "type": "User",
                        "userPrincipalName": user.upn,
                        "modifiedProperties": changed,
                    }
                ],
                "additionalDetails": [{"key": "User-Agent", "value": "Mozilla/5.0"}],
            },
        }
    )


def _compliance(chance: Random, tenant: Tenant, time: EventTime) -> bytes:
    user = chance.choice(tenant.users)
    device = f"{user.short_name}_Windows_{chance.randrange(10_000)}"
    record = _diagnostic(tenant, time, "OperationalLogs", "Compliance")
    record["properties"] = {
        "IntuneAccountId": guid(chance),
        "AlertDisplayName": f"Managed Device {device} is not Compliant",
        "AlertType": "Managed Device Not Compliant",
        "AADTenantId": tenant.id,
        "Description": "Windows10CompliancePolicy.SecureBoot||||SecureBoot||Required||False",
        "DeviceHostName": "HOSTNAME",
        "IntuneDeviceId": guid(chance),
        "DeviceName": device,
        "DeviceOperatingSystem": "Windows 10.0.22631.5624",
        "ScenarioName": "DeviceNotInComplianceSecurityAlert",
        "StartTimeUtc": format_event_time(time),
        "UserName": user.short_name,
        "UPNSuffix": user.domain,
        "UserDisplayName": user.display_name,
        "IntuneUserId": user.object_id,
        "OperationalLogCategory": "DeviceCompliance",
    }
    return orjson.dumps(record)


def _device(chance: Random, tenant: Tenant, time: EventTime) -> bytes:
    user = chance.choice(tenant.users)
    record = _diagnostic(tenant, time, "Devices", "Devices")
    record["properties"] = {
        "DeviceId": guid(chance),
        "DeviceName": f"{user.short_name}_Android_{chance.randrange(10_000)}",
        "UPN": user.upn,
        "OSVersion": "12.0",
        "OS": "Android (Personally-Owned Work Profile)",
        "CompliantState": "Compliant",
        "Ownership": "Personal",
        "ManagedBy": "Intune",
        "Model": "SM-G996B",
        "UserEmail": user.upn,
        "ReferenceId": guid(chance),
        "BatchId": guid(chance),
        "AADTenantId": tenant.id,
    }
    return orjson.dumps(record)


def _device_compliance(chance: Random, tenant: Tenant, time: EventTime) -> bytes:
    user = chance.choice(tenant.users)
    record = _diagnostic(tenant, time, "DeviceComplianceOrg", "DeviceCompliance")
    record["properties"] = {
        "DeviceName": f"DESKTOP-{chance.randrange(1_000_000)}",
        "UPN": user.upn,
        "ComplianceState": "1",
        "ComplianceState_loc": "Compliant",
        "OSDescription": "Windows",
        "OSVersion": "10.0.19044.2130",
        "OwnerType": 1,
        "DeviceId": guid(chance),
        "UserId": user.object_id,
        "DeviceHealthThreatLevel": None,
        "BatchId": guid(chance),
        "AADTenantId": tenant.id,
    }
    return orjson.dumps(record)
