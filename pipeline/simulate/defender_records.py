"""IdentityInfo and BehaviorEntities on the wire, of Defender and of Sentinel."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

import orjson

from pipeline.core.event_time import EventTime, format_event_time
from pipeline.simulate.dice import guid
from pipeline.simulate.moments import MILLISECOND, SECOND, later, short_form
from pipeline.simulate.tenants import Person

JsonObject = dict[str, object]

_PUBLISHED_AFTER: Final = 42 * SECOND
_NULL_COLUMNS: Final = (
    *("GivenName", "Surname", "Department", "JobTitle", "EmailAddress", "Manager"),
    *("DistinguishedName", "OnPremSid", "BlastRadius", "CompanyName", "EmployeeId", "State"),
)


class Shape(StrEnum):
    """How a row of a Defender table comes."""

    STREAMED = "streamed"
    STREAMED_TEXT = "streamed with properties as text"
    BARE = "bare row of advanced hunting"
    SENTINEL = "bare row of Sentinel"


@dataclass(frozen=True, slots=True)
class Account:
    """The account columns of a row; None is a column that is null or not there."""

    name: str | None
    domain: str | None
    upn: str | None
    object_id: str | None
    display_name: str = ""


def streamed(
    table: str, tenant_id: str, time: EventTime, properties: object, *, as_text: bool = False
) -> bytes:
    """Write a row as the streaming API sends it: published a little after its event time."""
    published = later(time, _PUBLISHED_AFTER)
    return orjson.dumps(
        {
            "time": format_event_time(published),
            "tenantId": tenant_id,
            "operationName": "Publish",
            "category": f"AdvancedHunting-{table}",
            "_TimeReceivedBySvc": format_event_time(later(published, -40 * MILLISECOND)),
            "properties": orjson.dumps(properties).decode() if as_text else properties,
            "Tenant": "DefaultTenant",
        }
    )


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """One snapshot of an identity; `kind` is User, ServiceAccount, or a Sentinel UserType."""

    tenant_id: str
    time: EventTime
    account: Account
    risk_level: str | None
    kind: str = "User"


def identity_record(row: IdentityRow, shape: Shape, chance: Random) -> bytes:
    """Write an IdentityInfo row in a shape."""
    if shape is Shape.SENTINEL:
        return _sentinel_identity(row)
    account = row.account
    columns: JsonObject = {
        "Timestamp": short_form(row.time),
        "ReportId": guid(chance),
        "AccountObjectId": account.object_id,
        "AccountUpn": account.upn,
        "AccountName": account.name,
        "AccountDomain": account.domain,
        "AccountDisplayName": account.display_name,
        "Type": row.kind,
        "RiskLevel": row.risk_level,
    }
    if shape is Shape.BARE:
        status = None if row.risk_level is None else "AtRisk"
        return orjson.dumps({"TenantId": row.tenant_id, **columns, "RiskStatus": status})
    columns |= dict.fromkeys(_NULL_COLUMNS)
    columns |= {
        "IdentityId": f"User_{row.tenant_id}_{guid(chance)}",
        "IsAccountEnabled": True,
        "SourceProvider": "AzureActiveDirectory",
        "ChangeSource": "EntraRiskChanged" if row.risk_level else "AzureActiveDirectory",
        "RiskLevelDetails": None,
        "Tags": [],
        "SourceProviders": ["AzureActiveDirectory"],
        "IdentityEnvironment": "Cloud",
        "CriticalityLevel": None,
        "SipProxyAddress": "",
    }
    as_text = shape is Shape.STREAMED_TEXT
    return streamed("IdentityInfo", row.tenant_id, row.time, columns, as_text=as_text)


def _sentinel_identity(row: IdentityRow) -> bytes:
    account = row.account
    return orjson.dumps(
        {
            "TenantId": row.tenant_id,
            "TimeGenerated": format_event_time(row.time),
            "AccountUPN": account.upn,
            "AccountObjectId": account.object_id,
            "AccountName": account.name,
            "AccountDomain": account.domain,
            "AccountDisplayName": account.display_name,
            "RiskLevel": row.risk_level,
            "RiskState": "" if row.risk_level is None else "AtRisk",
            "UserType": row.kind,
            "SourceSystem": "MicrosoftDefender",
            "Type": "IdentityInfo",
            "_IsBillable": "True",
        }
    )


@dataclass(frozen=True, slots=True)
class BehaviorRow:
    """A behaviour and the account that it is about."""

    tenant_id: str
    time: EventTime
    behavior_id: str
    action_type: str
    account: Account


def behavior_record(row: BehaviorRow, shape: Shape, *, role: str = "Impacted") -> bytes:
    """Write the User row of a behaviour."""
    fields: JsonObject = {"Type": "account", "Name": row.account.name, "Role": 0}
    return _entity_record(row, shape, "User", role, fields, _account_columns(row.account))


def other_entity_records(row: BehaviorRow, shape: Shape, ip_address: str) -> list[bytes]:
    """Write the rows of the other entities of the same behaviour: they name nobody's risk."""
    account = _account_columns(row.account)
    application: JsonObject = {"Application": "Microsoft Intune", "ApplicationId": 22110}
    return [
        _entity_record(
            row,
            shape,
            "Ip",
            "Related",
            {"Type": "ip", "Address": ip_address},
            {"RemoteIP": ip_address, **account},
        ),
        _entity_record(
            row,
            shape,
            "CloudApplication",
            "Impacted",
            {"Type": "cloud-application", "AppId": 22110, "Role": 0},
            application,
        ),
    ]


def behavior_id(chance: Random) -> str:
    """Draw a BehaviorId: 66 characters or, of another detector, a GUID."""
    if chance.random() < 0.5:
        return guid(chance)
    return f"oa{chance.getrandbits(256):064x}"


def account_of(person: Person) -> Account:
    """Return the account columns as IdentityInfo fills them: AccountName is a display name."""
    return Account(
        name=person.display_name,
        domain=person.domain,
        upn=person.upn,
        object_id=person.object_id,
        display_name=person.display_name,
    )


def short_account_of(person: Person) -> Account:
    """Return the account columns as BehaviorEntities fills them: no object id, short name."""
    return Account(name=person.short_name, domain=person.domain, upn=person.upn, object_id=None)


def _account_columns(account: Account) -> JsonObject:
    columns: JsonObject = {"AccountName": account.name, "AccountDomain": account.domain}
    if account.object_id is not None:
        columns["AccountObjectId"] = account.object_id
    columns["AccountUpn"] = account.upn
    return columns


def _entity_record(
    row: BehaviorRow,
    shape: Shape,
    entity_type: str,
    role: str,
    fields: JsonObject,
    columns: JsonObject,
) -> bytes:
    properties: JsonObject = {
        "Timestamp": short_form(row.time),
        "BehaviorId": row.behavior_id,
        "ActionType": row.action_type,
        "Categories": '["InitialAccess"]',
        "ServiceSource": "Microsoft Cloud App Security",
        "DetectionSource": "Cloud App Security",
        "DataSources": '["Microsoft Cloud App Security"]',
        "EntityType": entity_type,
        "EntityRole": role,
        "DetailedEntityRole": None,
        **columns,
        "AdditionalFields": orjson.dumps(fields).decode(),
    }
    if shape is Shape.BARE or shape is Shape.SENTINEL:
        return orjson.dumps({"TenantId": row.tenant_id, **properties})
    as_text = shape is Shape.STREAMED_TEXT
    return streamed("BehaviorEntities", row.tenant_id, row.time, properties, as_text=as_text)
