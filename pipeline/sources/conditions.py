"""What an audit event must be to be an assignment, condition by condition.

All of them hold exactly when the decoder makes an assignment of the record; a property test keeps
the two together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.core.detection import (
    INTENT,
    OPERATIONS_THAT_COUNT,
    RESULT_THAT_COUNTS,
    TARGET_TYPE,
    TARGET_TYPES_OF_ALL,
    Target,
    detect,
)
from pipeline.core.event_time import format_event_time, parse_event_time
from pipeline.core.model import Assignment
from pipeline.sources.decode import owner_of_audit
from pipeline.sources.intune import column, is_of_entra, targets_of
from pipeline.sources.outcome import Malformed
from pipeline.sources.reading import Json, NotJsonError, Row, first_text, nested, text_of
from pipeline.sources.tenant import Owner, owner_of_record

_SHOWN_AT_MOST: Final = 160
_GROUP_SHOWN_AT_MOST: Final = 40
_UNMAPPED: Final = " (a workspace that the policy maps to no tenant)"
_KEPT: Final = "not kept, but only such events are stored"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: what it asks, whether it holds (None: cannot be told), and what was found."""

    name: str
    asks: str
    holds: bool | None
    found: str


_ASKS: Final = {
    "record": "the record is a JSON object",
    "table": "it is an audit event of Intune, by its category or its columns",
    "operation": f"OperationName is {' or '.join(sorted(OPERATIONS_THAT_COUNT))}",
    "result": f"ResultType is {RESULT_THAT_COUNTS}",
    "properties": "Properties are there and not empty",
    "readable": "Properties can be read as a JSON object",
    "intent": "a target sets Intent to Required",
    "target_type": f"a target sets Target.Type to {' or '.join(sorted(TARGET_TYPES_OF_ALL))}",
    "one_group": "both stand in one group of targets, that is under one Name",
    "audit_event_id": "it has an id: its AuditEventId, else one made of its content",
    "event_time": "its time can be read",
    "tenant": "it names its tenant",
}
"""In the order in which the decoder asks."""


def conditions_of(
    record: "Json | Malformed", workspaces: Mapping[str, str]
) -> tuple[Condition, ...]:
    """Say of a record which conditions it meets; all: it is an assignment.

    Args:
        record: As `decode.taken_apart` gives it.
        workspaces: Log Analytics workspace id (lower case) to tenant.
    """
    if not isinstance(record, dict):
        found = record.reason if isinstance(record, Malformed) else text_of(record)
        unknown = (_condition(name, "", holds=None) for name in _ASKS if name != "record")
        return (_condition("record", found, holds=False), *unknown)
    return (_condition("record", "an object", holds=True), *_of_row(record, workspaces))


def conditions_met(assignment: Assignment) -> tuple[Condition, ...]:
    """Say what is known of the record of a stored assignment: it met all of them."""
    types = ", ".join(assignment.target_types)
    split = " of two targets" if assignment.split_signals else " of one target"
    found = {
        "record": "an object",
        "table": _KEPT,
        "operation": assignment.operation,
        "result": _KEPT,
        "properties": _KEPT,
        "readable": _KEPT,
        "intent": "Required",
        "target_type": types,
        "one_group": f"the two signals{split}",
        "audit_event_id": assignment.audit_event_id,
        "event_time": format_event_time(assignment.event_time),
        "tenant": assignment.tenant_id,
    }
    return tuple(_condition(name, found[name], holds=True) for name in _ASKS)


def stated_id(record: "Json | Malformed") -> str:
    """Return the AuditEventId that a record states; "" when it states none that can be read."""
    if not isinstance(record, dict):
        return ""
    properties = _properties_of(column(record, "properties"))
    return first_text(properties, "AuditEventId") if isinstance(properties, dict) else ""


def unreadable_text(record: "Json | Malformed") -> str:
    """Return the Properties of a record as text when they cannot be read, else ""."""
    if not isinstance(record, dict):
        return ""
    stored = column(record, "properties")
    is_read = not isinstance(_properties_of(stored), Malformed)
    return "" if is_read else text_of(stored)


def owner_of(record: "Json | Malformed", workspaces: Mapping[str, str]) -> Owner:
    """Return whose a record is, or would be if it were an audit event."""
    return _owner(record, workspaces) if isinstance(record, dict) else Owner("")


def _owner(record: Row, workspaces: Mapping[str, str]) -> Owner:
    return owner_of_audit(record, workspaces) or owner_of_record(record, {})


def _of_row(record: Row, workspaces: Mapping[str, str]) -> Iterator[Condition]:
    is_ours = owner_of_audit(record, workspaces) is not None and not is_of_entra(record)
    yield _condition("table", _table(record), holds=is_ours)
    operation, result = (text_of(column(record, name)) for name in ("operationName", "resultType"))
    yield _condition("operation", operation, holds=operation in OPERATIONS_THAT_COUNT)
    yield _condition("result", result, holds=result == RESULT_THAT_COUNTS)
    yield from _of_properties(column(record, "properties"))
    time = column(record, "time", "TimeGenerated")
    yield _condition("event_time", text_of(time), holds=parse_event_time(time) is not None)
    owner = _owner(record, workspaces)
    is_workspace = bool(owner.unmapped_workspace)
    said = f"{owner.tenant_id}{_UNMAPPED if is_workspace else ''}"
    yield _condition("tenant", said, holds=bool(owner.tenant_id))


def _of_properties(stored: Json) -> Iterator[Condition]:
    is_there = stored is not None and stored != ""
    yield _condition("properties", "something" if is_there else "", holds=is_there)
    properties = _properties_of(stored) if is_there else None
    if isinstance(properties, dict):
        yield _condition("readable", "an object", holds=True)
        yield from _of_targets(targets_of(properties))
        stated = first_text(properties, "AuditEventId")
        yield _condition("audit_event_id", stated or "states none", holds=True)
        return
    said = properties.reason if isinstance(properties, Malformed) else text_of(properties)
    yield _condition("readable", said, holds=False if is_there else None)
    for name in ("intent", "target_type", "one_group", "audit_event_id"):
        yield _condition(name, "", holds=None)


def _of_targets(targets: Sequence[Target]) -> Iterator[Condition]:
    intents, types = (_set_to(targets, name) for name in (INTENT, TARGET_TYPE))
    yield _condition("intent", intents, holds=any(one.is_required for one in targets))
    yield _condition("target_type", types, holds=any(one.types_of_all for one in targets))
    assigned = detect(targets)
    if assigned is None:
        with_intent, with_type = (
            ", ".join(dict.fromkeys(_quoted(one.group) for one in targets if of(one)))
            for of in (lambda one: one.is_required, lambda one: bool(one.types_of_all))
        )
        found = f"Required under {with_intent or 'none'}, everybody under {with_type or 'none'}"
    else:
        split = "two targets of one Name" if assigned.split_signals else "one target"
        found = f"{', '.join(assigned.target_types)}, by {split}"
    yield _condition("one_group", found, holds=assigned is not None)


def _set_to(targets: Sequence[Target], name: str) -> str:
    """Say what a property was set to, and in which group of targets."""
    return "; ".join(
        dict.fromkeys(
            f"{one.new or '(no text)'} under {_quoted(target.group)}"
            for target in targets
            for one in target.properties
            if one.name == name
        )
    )


def _properties_of(stored: Json) -> "Json | Malformed":
    try:
        return nested(stored)
    except NotJsonError:
        return Malformed("not JSON")


def _table(record: Row) -> str:
    if is_of_entra(record):
        return f"resourceId {text_of(column(record, 'resourceId'))}: an audit event of Entra"
    category = text_of(record.get("category"))
    return f"category {category}" if category else f"columns {', '.join(sorted(record))}"


def _quoted(group: str) -> str:
    return f'"{_shortened(group, _GROUP_SHOWN_AT_MOST)}"'


def _condition(name: str, found: str, *, holds: bool | None) -> Condition:
    return Condition(name, _ASKS[name], holds, _shortened(found, _SHOWN_AT_MOST))


def _shortened(text: str, at_most: int) -> str:
    return text if len(text) <= at_most else f"{text[: at_most - 1]}…"
