"""IdentityInfo and BehaviorEntities: who is at risk, and who behaves like it."""

from typing import Final

from pipeline.core.event_time import EventTime, parse_event_time
from pipeline.core.evidence import BEHAVIORS_THAT_COUNT, LEVELS_THAT_COUNT, is_nothing
from pipeline.core.model import Behavior, Risk
from pipeline.sources.outcome import Decoded, Ignored, Malformed, Why
from pipeline.sources.reading import Row, first_text, object_id, text_of
from pipeline.sources.tenant import Owner

_LEVELS: Final = frozenset(level.lower() for level in LEVELS_THAT_COUNT)
_TABLE: Final = "IdentityInfo"
_SENTINEL_USERS: Final = frozenset({"User", "Member", "Guest"})


def decode_identity(row: Row, owner: Owner) -> Decoded:
    """Decode an IdentityInfo row, of Defender XDR or of Sentinel.

    Sentinel writes the table's name into Type, the kind of identity into UserType, and the UPN
    into AccountUPN (Microsoft Sentinel UEBA reference).
    """
    level = text_of(row.get("RiskLevel"))
    if level.lower() not in _LEVELS:
        return Ignored(Why.NO_RISK)
    kind = text_of(row.get("Type"))
    is_user = kind == "User" or (kind in {"", _TABLE} and _sentinel_user(row))
    if not is_user:
        return Ignored(Why.NOT_A_USER)
    upn = _upn(row)
    account_upn = text_of(row.get("AccountUpn")) if kind == "User" else ""
    account = object_id(row, "AccountObjectId")
    if not (upn or account_upn or account):
        return Ignored(Why.NOBODY)
    event_time = event_time_of_row(row)
    if event_time is None:
        return Malformed("Timestamp: no readable event time")
    if not owner.tenant_id:
        return Malformed("tenantId: no tenant")
    return Risk(
        tenant_id=owner.tenant_id,
        event_time=event_time,
        level=level,
        upn=upn,
        account_upn=account_upn,
        object_id=account,
    )


def decode_behavior(row: Row, owner: Owner) -> Decoded:
    """Decode a BehaviorEntities row."""
    action_type = text_of(row.get("ActionType"))
    if action_type not in BEHAVIORS_THAT_COUNT:
        return Ignored(Why.OTHER_BEHAVIOR)
    if text_of(row.get("EntityType")) != "User":
        return Ignored(Why.NOT_A_USER)
    upn, account = _upn(row), object_id(row, "AccountObjectId")
    account_name = text_of(row.get("AccountName"))
    if not (upn or account_name or account):
        return Ignored(Why.NOBODY)
    event_time = event_time_of_row(row)
    if event_time is None:
        return Malformed("Timestamp: no readable event time")
    if not owner.tenant_id:
        return Malformed("tenantId: no tenant")
    return Behavior(
        tenant_id=owner.tenant_id,
        event_time=event_time,
        behavior_id=text_of(row.get("BehaviorId")),
        action_type=action_type,
        upn=upn,
        account_name=account_name,
        object_id=account,
    )


def event_time_of_row(row: Row) -> EventTime | None:
    """Read the event time of a row of advanced hunting or Log Analytics."""
    for column in ("Timestamp", "TimeGenerated"):
        event_time = parse_event_time(row.get(column))
        if event_time is not None:
            return event_time
    return None


def _sentinel_user(row: Row) -> bool:
    return first_text(row, "UserType", "IdentityType") in _SENTINEL_USERS


def _upn(row: Row) -> str:
    """Return whom a row is about: its UPN, else what its name and domain make."""
    upn = first_text(row, "AccountUpn", "AccountUPN")
    if upn:
        return upn
    name, domain = text_of(row.get("AccountName")), text_of(row.get("AccountDomain"))
    if is_nothing(name):
        return ""
    if "@" in name:
        return name
    return "" if is_nothing(domain) else f"{name}@{domain}"
