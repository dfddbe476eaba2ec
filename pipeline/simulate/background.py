"""An ordinary day: what is recorded all the time and makes no alert."""

from dataclasses import dataclass
from random import Random
from typing import Final

from pipeline.core.event_time import EventTime
from pipeline.simulate.audit_records import (
    ALL_DEVICES,
    ALL_USERS,
    API_VERSION,
    GROUP,
    NO_IDENTITY,
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
    BehaviorRow,
    IdentityRow,
    Shape,
    account_of,
    behavior_id,
    behavior_record,
    identity_record,
    other_entity_records,
    short_account_of,
)
from pipeline.simulate.dice import guid, one_in
from pipeline.simulate.graph_records import GRAPH, GraphCall, GraphShape, graph_record
from pipeline.simulate.tenants import Person, Tenant


@dataclass(frozen=True, slots=True)
class Operation:
    """An audit operation: who does it, how often, and what it changes."""

    name: str
    weight: float
    category: int
    by_machine: bool
    changes: tuple[str, ...]


_CERTIFICATE: Final = ("AccountContextId", "deviceID", "DeviceEnrollmentType", "Thumbprint")
_POLICY: Final = (
    *("DisplayName", "Description", "Platforms", "Technologies", "TemplateReference.TemplateId"),
    *("CreationSource", "RoleScopeTagIds", "Settings[0].SettingInstance", "PriorityMetaData"),
)
_OPERATIONS: Final = (
    Operation("Create ClientCertificate", 62.0, 1, by_machine=True, changes=_CERTIFICATE),
    Operation(
        "SetReference ManagedDevice",
        *(9.0, 4),
        by_machine=True,
        changes=("referenceProperty", "referenceValue", "ReferenceEntity", "Owner", "Source"),
    ),
    Operation(
        "Patch ManagedDevice",
        *(8.0, 4),
        by_machine=True,
        changes=("OsVersion", "ComplianceState", "LastSyncDateTime", "Owner", "ManagementState"),
    ),
    Operation("Delete ManagedDevice", 2.0, 4, by_machine=False, changes=_POLICY[:4]),
    Operation("Rename device ManagedDevice", 2.0, 4, by_machine=False, changes=("DeviceName",)),
    Operation(
        "Patch DeviceManagementConfigurationPolicy", 5.0, 3, by_machine=False, changes=_POLICY
    ),
    Operation("Create DeviceCompliancePolicy", 3.0, 2, by_machine=False, changes=_POLICY),
    Operation("Patch MobileApp", 3.0, 5, by_machine=False, changes=_POLICY),
    Operation("Create RoleAssignment", 0.6, 9, by_machine=False, changes=_POLICY[:5]),
)
_OPERATION_WEIGHTS: Final = tuple(operation.weight for operation in _OPERATIONS)
_POLICY_ASSIGNMENT: Final = "Create DeviceManagementConfigurationPolicyAssignment"
_ROUTINE_IN: Final = 60  # one audit event in so many assigns something, to a group or as Available

_URIS: Final = (
    *("deviceManagement/managedDevices", "deviceManagement/deviceConfigurations", "users"),
    *("groups", "deviceManagement/detectedApps", "organization", "auditLogs/signIns"),
)
_HARMLESS_ACTIONS: Final = (
    *("MassDownload", "MassDelete", "MultipleFailedLoginAttempts", "MassShare"),
    "MultiplePowerBiReportSharingActivities",
)


def audit_event(chance: Random, tenant: Tenant, time: EventTime) -> bytes:
    """Write an audit event of an ordinary day."""
    form = Form.OBJECT if one_in(chance, 50) else tenant.audit_form
    if one_in(chance, _ROUTINE_IN):
        return audit_record(_routine_assignment(chance, tenant, time), form)
    operation = chance.choices(_OPERATIONS, _OPERATION_WEIGHTS)[0]
    actor, identity = _actor(chance, tenant, operation)
    changes = [(name, guid(chance)) for name in operation.changes]
    return audit_record(
        AuditEvent(
            tenant_id=tenant.id,
            time=time,
            operation=operation.name,
            audit_event_id=guid(chance),
            correlation_id=guid(chance),
            identity=identity,
            category=operation.category,
            actor=actor,
            targets=[target_of(None, *changes, ("DeviceManagementAPIVersion", API_VERSION))],
            target_object_ids=[guid(chance)],
        ),
        form,
    )


def identity_snapshot(chance: Random, tenant: Tenant, person: Person, time: EventTime) -> bytes:
    """Write somebody's daily row; users, who assign nothing, are sometimes at risk."""
    is_admin = person in tenant.admins
    levels = (None, "Low") if is_admin else (None, "Low", "Medium", "High")
    level = chance.choices(levels, (90, 4, 4, 2)[: len(levels)])[0]
    shape = chance.choices((Shape.STREAMED, Shape.BARE, Shape.STREAMED_TEXT), (90, 8, 2))[0]
    return identity_record(IdentityRow(tenant.id, time, account_of(person), level), shape, chance)


def behavior_rows(chance: Random, tenant: Tenant, time: EventTime) -> list[bytes]:
    """Write a behaviour with all its entities: a harmless one, or one of a mere user."""
    if one_in(chance, 4):
        person, action = chance.choice(tenant.users), "ImpossibleTravelActivity"
    else:
        person, action = chance.choice(tenant.admins), chance.choice(_HARMLESS_ACTIONS)
    row = BehaviorRow(tenant.id, time, behavior_id(chance), action, short_account_of(person))
    address = f"198.51.100.{chance.randrange(1, 255)}"
    rows = [behavior_record(row, Shape.STREAMED)]
    return rows + other_entity_records(row, Shape.STREAMED, address)


def graph_request(chance: Random, tenant: Tenant, time: EventTime) -> bytes:
    """Write a request to Graph that no assignment made."""
    person = chance.choice(tenant.admins)
    if one_in(chance, 25):
        uri = f"{GRAPH}/deviceAppManagement/mobileApps/{chance.choice(tenant.apps).object_id}"
    else:
        uri = f"{GRAPH}/{chance.choice(_URIS)}?$top=100"
    call = GraphCall(
        tenant_id=tenant.id,
        time=time,
        client_request_id=guid(chance),
        request_id=guid(chance),
        ip_address=f"198.51.100.{chance.randrange(1, 255)}",
        method="GET",
        uri=uri,
        user_id=person.object_id,
    )
    rare = one_in(chance, 10)
    return graph_record(call, chance.choice(list(GraphShape)) if rare else GraphShape.ACTIVITY)


def _actor(chance: Random, tenant: Tenant, operation: Operation) -> tuple[JsonObject, str]:
    if not operation.by_machine:
        admin = chance.choice(tenant.admins)
        return actor_of(admin.upn, admin.object_id), admin.upn
    if operation.category == 1:
        return actor_of(None, None, application=(None, None), permissions=""), NO_IDENTITY
    scopes = "DeviceManagementManagedDevices.ReadWrite.All DeviceManagementConfiguration.Read.All"
    application = (tenant.id, "DeviceChassisInfo")
    return (
        actor_of(None, None, actor_type=5, application=application, permissions=scopes),
        NO_IDENTITY,
    )


def _routine_assignment(chance: Random, tenant: Tenant, time: EventTime) -> AuditEvent:
    admin, app, group = chance.choice(tenant.admins), chance.choice(tenant.apps), guid(chance)
    operation, target_type, intent = chance.choices(
        (
            ("Create MobileAppAssignment", GROUP, "Required"),
            ("Create MobileAppAssignment", GROUP, "Available"),
            ("Patch MobileAppAssignment", GROUP, "Required"),
            ("Create MobileAppAssignment", ALL_USERS, "Available"),
            ("Patch MobileAppAssignment", ALL_DEVICES, "Uninstall"),
            ("Delete MobileAppAssignment", ALL_DEVICES, "Required"),
            (_POLICY_ASSIGNMENT, ALL_DEVICES, "Required"),
        ),
        (30, 20, 15, 15, 3, 7, 10),
    )[0]
    return AuditEvent(
        tenant_id=tenant.id,
        time=time,
        operation=operation,
        audit_event_id=guid(chance),
        correlation_id=guid(chance),
        identity=admin.upn,
        category=3 if operation == _POLICY_ASSIGNMENT else 5,
        actor=actor_of(admin.upn, admin.object_id),
        targets=[target_of(app.name), assignment_target(target_type, intent, group)],
        target_object_ids=[app.object_id, assignment_object_id(target_type, intent, group)],
        target_display_names=[app.name, NOTHING],
        additional_details="Key = GroupPropertyNamesValue = Target.GroupId\r\n",
    )
