"""A value of a source topic, taken apart: every record of it, classified by content."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from pipeline.core.event_time import EventTime, parse_event_time
from pipeline.core.evidence import Matching
from pipeline.sources.bounds import bounded
from pipeline.sources.defender import decode_behavior, decode_identity, event_time_of_row
from pipeline.sources.envelope import unread_records
from pipeline.sources.graph import decode_graph
from pipeline.sources.intune import decode_audit
from pipeline.sources.outcome import Decoded, Ignored, Malformed, Record, Why
from pipeline.sources.reading import Json, NotJsonError, Row, nested, read_json, text_of
from pipeline.sources.tenant import Owner, owner_of_record, owner_of_row

_NOT_AN_OBJECT: Final = "not an object"
_NOT_JSON: Final = Malformed("not JSON")
_GRAPH_ACTIVITY: Final = "microsoftgraphactivitylogs"
_AUDIT: Final = "auditlogs"
_IDENTITY: Final = "advancedhunting-identityinfo"
_BEHAVIOR: Final = "advancedhunting-behaviorentities"
_GRAPH_AUDIT: Final = "advancedhunting-graphapiauditevents"
_TABLES: Final = frozenset({_GRAPH_ACTIVITY, _IDENTITY, _BEHAVIOR, _GRAPH_AUDIT})
_NOTHING: Final[Row] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes values of any source topic; tables and forms may be mixed in one.

    Attributes:
        matching: Repaired matching ignores Graph requests that are not about apps.
        workspaces: Log Analytics workspace id (lower case) to tenant.
    """

    matching: Matching = Matching.REPAIRED
    workspaces: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __call__(self, value: bytes | None) -> list[Record]:
        """Take a value apart; every record in it has exactly one outcome."""
        if value is None or not value.strip():
            return [Record(None, Ignored(Why.EMPTY))]
        return [self._record(index, record) for index, record in taken_apart(value)]

    def record(self, index: int, record: memoryview) -> Record:
        """Decode one record of an envelope; see `envelope.unread_records`."""
        return self._record(index, _document(record))

    def _record(self, index: int | None, record: "Json | Malformed") -> Record:
        if isinstance(record, Malformed):
            return Record(index, record)
        if not isinstance(record, dict):
            return Record(index, Malformed(_NOT_AN_OBJECT))
        decoded, workspace = self._classified(record)
        if isinstance(decoded, Ignored | Malformed):
            return Record(index, decoded)
        return Record(index, bounded(decoded), workspace)

    def _classified(self, record: Row) -> tuple[Decoded, str]:
        """Decode a record by its category, else its shape; name a workspace taken for a tenant."""
        audited_by = owner_of_audit(record, self.workspaces)
        if audited_by is not None:
            return decode_audit(record, audited_by), audited_by.unmapped_workspace
        category = text_of(record.get("category")).lower()
        if category in _TABLES or (not category and "properties" in record):
            return self._diagnostic(record, category), ""
        if category:
            return Ignored(Why.OTHER_CATEGORY), ""
        owner = owner_of_row(record, self.workspaces)
        return self._row(record, owner), owner.unmapped_workspace

    def _diagnostic(self, record: Row, category: str) -> Decoded:
        """Decode a record whose columns are in `properties`, by category, else by shape."""
        try:
            properties = nested(record.get("properties"))
        except NotJsonError:
            is_ours = category in _TABLES
            return Malformed("properties: not JSON") if is_ours else Ignored(Why.UNKNOWN_SHAPE)
        if not isinstance(properties, dict):
            return Ignored(Why.UNKNOWN_SHAPE)
        owner = owner_of_record(record, properties)
        match category or _table_of(properties):
            case t if t == _IDENTITY:
                return decode_identity(properties, owner)
            case t if t == _BEHAVIOR:
                return decode_behavior(properties, owner)
            case t if t == _GRAPH_AUDIT:
                return self._graph(properties, owner, event_time_of_row(properties))
            case t if t == _GRAPH_ACTIVITY:
                caller = {"callerIpAddress": record.get("callerIpAddress"), **properties}
                return self._graph(caller, owner, _activity_time(record, properties))
            case _:
                return Ignored(Why.UNKNOWN_SHAPE)

    def _row(self, row: Row, owner: Owner) -> Decoded:
        """Decode a bare row of advanced hunting or Log Analytics, by its shape."""
        match _table_of(row):
            case t if t == _IDENTITY:
                return decode_identity(row, owner)
            case t if t == _BEHAVIOR:
                return decode_behavior(row, owner)
            case t if t in {_GRAPH_AUDIT, _GRAPH_ACTIVITY}:
                return self._graph(row, owner, event_time_of_row(row))
            case _:
                return Ignored(Why.UNKNOWN_SHAPE)

    def _graph(self, row: Row, owner: Owner, event_time: EventTime | None) -> Decoded:
        return decode_graph(row, owner, event_time, self.matching)


def taken_apart(value: bytes) -> "list[tuple[int | None, Json | Malformed]]":
    """Return the records of a value, each with its index; None when the value is the record."""
    documents: list[Json | Malformed]
    try:
        documents = [read_json(value)]
    except NotJsonError:
        unread = unread_records(value)
        if unread is not None:
            return [(index, _document(record)) for index, record in enumerate(unread)]
        documents = _lines(value)
    records = [one for document in documents for one in _records(document)]
    if len(documents) == 1 and not _holds_many(documents[0]):
        return [(None, records[0])]
    return list(enumerate(records))


def owner_of_audit(record: Row, workspaces: Mapping[str, str]) -> Owner | None:
    """Return whose a record is when it is read as an audit event; None when it is not."""
    category = text_of(record.get("category")).lower()
    if category:
        return owner_of_record(record, _NOTHING) if category == _AUDIT else None
    if "properties" in record:
        return owner_of_record(record, _NOTHING) if _names_an_operation(record) else None
    is_row = "OperationName" in record and "Properties" in record
    return owner_of_row(record, workspaces) if is_row else None


def _lines(value: bytes) -> "list[Json | Malformed]":
    """Read a value as one JSON document a line; malformed as a whole if none of them is one."""
    documents = [_document(line) for line in value.split(b"\n") if line.strip()]
    if not any(isinstance(one, dict | list) and one for one in documents):
        return [_NOT_JSON]
    return documents


def _document(data: bytes | memoryview) -> "Json | Malformed":
    try:
        return read_json(bytes(data))
    except NotJsonError:
        return _NOT_JSON


def _records(document: "Json | Malformed") -> "Iterator[Json | Malformed]":
    """Yield the records of an envelope, of an array of envelopes or rows, or the one record."""
    elements = document if isinstance(document, list) else [document]
    for element in elements:
        if not isinstance(element, dict) or "records" not in element:
            yield element
        elif isinstance(element["records"], list):
            yield from element["records"]
        else:
            yield Malformed("records: not an array")


def _holds_many(document: "Json | Malformed") -> bool:
    return isinstance(document, list) or (
        isinstance(document, dict) and isinstance(document.get("records"), list)
    )


def _names_an_operation(record: Row) -> bool:
    return "MobileAppAssignment" in text_of(record.get("operationName"))


def _table_of(row: Row) -> str:
    """Name the table whose columns these are; "" when they are none of ours."""
    if "BehaviorId" in row:
        return _BEHAVIOR
    if "RiskLevel" in row:
        return _IDENTITY
    if "ClientRequestId" in row:
        return _GRAPH_AUDIT
    return _GRAPH_ACTIVITY if "clientRequestId" in row else ""


def _activity_time(record: Row, properties: Row) -> EventTime | None:
    event_time = parse_event_time(properties.get("timeGenerated"))
    return parse_event_time(record.get("time")) if event_time is None else event_time
