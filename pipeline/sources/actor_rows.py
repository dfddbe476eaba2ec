"""Rows about an actor that are no evidence whatever their time: another level, not a user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.core.event_time import EventTime
from pipeline.core.policy import Reason
from pipeline.sources.defender import event_time_of_row
from pipeline.sources.outcome import Decoded, Ignored, Malformed, Why
from pipeline.sources.reading import Json, NotJsonError, Row, nested, text_of
from pipeline.sources.tenant import owner_of_record, owner_of_row

_BY_RULE: Final = frozenset({Why.NO_RISK, Why.NOT_A_USER, Why.OTHER_BEHAVIOR, Why.NOBODY})
_NAMES: Final = ("AccountUpn", "AccountUPN", "AccountObjectId", "AccountName")
_COLUMNS: Final = {
    Reason.USER_RISK: ("RiskLevel", "Type", "UserType"),
    Reason.RISKY_BEHAVIOR: ("ActionType", "EntityType"),
}


@dataclass(frozen=True, slots=True)
class ActorRow:
    """A row about somebody: for which reason it was looked at, and what it says instead.

    `event_time` is None when it cannot be read.
    """

    tenant_id: str
    names: frozenset[str]
    reason: Reason
    because: Why
    says: str
    event_time: EventTime | None


def actor_row(
    record: "Json | Malformed", decoded: Decoded, workspaces: Mapping[str, str]
) -> ActorRow | None:
    """Read a row that the decoder ignores by rule; None when it is another record.

    Args:
        record: As `decode.taken_apart` gives it.
        decoded: What the decoder made of it.
        workspaces: Log Analytics workspace id (lower case) to tenant.
    """
    if not isinstance(decoded, Ignored) or decoded.why not in _BY_RULE:
        return None
    if not isinstance(record, dict):
        return None
    is_diagnostic = "properties" in record
    row = _columns(record["properties"]) if is_diagnostic else record
    owner = owner_of_record(record, row) if is_diagnostic else owner_of_row(record, workspaces)
    reason = Reason.RISKY_BEHAVIOR if "ActionType" in row else Reason.USER_RISK
    said = (f"{name} {text_of(row[name]) or '(empty)'}" for name in _COLUMNS[reason] if name in row)
    return ActorRow(
        tenant_id=owner.tenant_id,
        names=_names(row),
        reason=reason,
        because=decoded.why,
        says=", ".join(said),
        event_time=event_time_of_row(row),
    )


def _columns(stored: Json) -> Row:
    try:
        properties = nested(stored)
    except NotJsonError:
        return {}
    return properties if isinstance(properties, dict) else {}


def _names(row: Row) -> frozenset[str]:
    texts = [text_of(row.get(name)) for name in _NAMES]
    domain = text_of(row.get("AccountDomain"))
    return frozenset(text.lower() for text in (*texts, f"{texts[-1]}@{domain}") if text)
