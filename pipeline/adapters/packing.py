"""Facts as fields of a Redis hash: the field says what is known, its value where it was first seen.

What many rows of one account repeat (its names and object id) is a field of its own, named by
a hash of its content, that the rows refer to. So a row stays within 64 bytes, and a hash of such
fields a listpack (`hash-max-listpack-value`), even under a key that shares no text with the row:
ten behaviors of one account take 0.9 kB rather than 2 kB.

The first byte of a field is its version and kind. A field is written relative to a text nearby,
the one its key ends in, and can only be read beside the same text.
"""

import hashlib
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final, NamedTuple, assert_never

from pipeline.adapters.text_packing import Reader, Unreadable, Writer
from pipeline.core.event_time import EventTime
from pipeline.core.model import (
    Actor,
    App,
    Assignment,
    AssignmentId,
    Behavior,
    Fact,
    GraphRequest,
    Position,
    Risk,
    Seen,
)

KNOWN_TOPICS: Final = (
    "intune.audit.v1",
    "defender.identity-info.v1",
    "defender.behavior-entities.v1",
    "graph.activity.v1",
)
"""Topics with a code, which is their place, counted from 1: add behind, never move or remove."""

_HASH_SIZE: Final = 12


class _Kind(IntEnum):
    """The first byte of a field: version 1 in the high half."""

    NAME = 0x10
    ACCOUNT = 0x11
    RISK = 0x12
    BEHAVIOR = 0x13
    GRAPH = 0x14
    ASSIGNMENT = 0x15
    ENTRY = 0x16


_KINDS: Final = {kind.value: kind for kind in _Kind}


class _Account(NamedTuple):
    upn: str
    name: str
    object_id: str


class Entry(NamedTuple):
    """What the index of assignments holds of one variant."""

    event_time: EventTime
    audit_event_id: str


def pack(seen: Seen[Fact], near: str) -> dict[bytes, bytes]:
    """Write a fact as fields, in the order in which they must be stored: the fact's own last.

    The tenant is not among them. Equal facts have equal fields, others differ in the last one.

    Args:
        seen: The fact and its position.
        near: A text in lower case that the fact is likely to repeat.
    """
    fact, writer = seen.fact, Writer(near)
    fields: dict[bytes, bytes] = {}
    match fact:
        case Risk():
            account = _Account(fact.upn, fact.account_upn, fact.object_id)
            digest = _account_hash(account)
            fields = {bytes([_Kind.ACCOUNT]) + digest: _packed_account(account, near)}
            _begin(writer, _Kind.RISK, fact.event_time)
            writer.raw(digest)
            writer.text(fact.level)
        case Behavior():
            account = _Account(fact.upn, fact.account_name, fact.object_id)
            digest = _account_hash(account)
            fields = {bytes([_Kind.ACCOUNT]) + digest: _packed_account(account, near)}
            _begin(writer, _Kind.BEHAVIOR, fact.event_time)
            writer.raw(digest)
            writer.text(fact.action_type)
            writer.text(fact.behavior_id)
        case GraphRequest():
            _begin(writer, _Kind.GRAPH, fact.event_time)
            for text in _graph_texts(fact):
                writer.text(text)
        case Assignment():
            _begin(writer, _Kind.ASSIGNMENT, fact.event_time)
            writer.number(fact.split_signals << 1 | fact.actor.is_delegated_admin)
            writer.number(len(fact.target_types))
            for text in (*fact.target_types, *_assignment_texts(fact)):
                writer.text(text)
        case _:
            assert_never(fact)
    fields[writer.done()] = pack_position(seen.position)
    return fields


def unpack(fields: Mapping[bytes, bytes], tenant_id: str, near: str) -> Iterator[Seen[Fact]]:
    """Read every fact of a hash back.

    A row whose account is missing was never confirmed to its writer, and is passed over.

    Raises:
        Unreadable: a field was written by another version, or is damaged.
    """
    for field, value in fields.items():
        reader = Reader(field, near)
        fact = _fact(reader, fields, tenant_id, near)
        if fact is not None:
            reader.finish()
            yield Seen(fact, unpack_position(value))


def pack_entry(entry: Entry) -> bytes:
    """Write an entry of the index of assignments."""
    writer = Writer()
    _begin(writer, _Kind.ENTRY, entry.event_time)
    writer.text(entry.audit_event_id)
    return writer.done()


def unpack_entry(content: bytes) -> Entry:
    """Read an entry of the index of assignments.

    Raises:
        Unreadable: the entry was written by another version, or is damaged.
    """
    reader = Reader(content)
    if _kind(reader) is not _Kind.ENTRY:
        raise Unreadable("byte 0: not an entry of the index")
    entry = Entry(reader.event_time(), reader.text())
    reader.finish()
    return entry


def pack_name(of: AssignmentId) -> dict[bytes, bytes]:
    """Write the id of an assignment as a field of its variants, for keys too long to tell it."""
    writer = Writer()
    writer.text(of.tenant_id)
    writer.text(of.audit_event_id)
    return {bytes([_Kind.NAME]): writer.done()}


def unpack_name(fields: Mapping[bytes, bytes]) -> AssignmentId | None:
    """Read the id of an assignment among the fields of its variants, if it is there."""
    content = fields.get(bytes([_Kind.NAME]))
    if content is None:
        return None
    reader = Reader(content)
    of = AssignmentId(reader.text(), reader.text())
    reader.finish()
    return of


def pack_position(position: Position) -> bytes:
    """Write a position: seven or eight bytes when its topic is a known one."""
    writer = Writer()
    if position.topic in KNOWN_TOPICS:
        writer.number(KNOWN_TOPICS.index(position.topic) + 1)
    else:
        writer.number(0)
        writer.text(position.topic)
    writer.number(position.partition)
    writer.number(position.offset)
    writer.number(0 if position.index is None else position.index + 1)
    return writer.done()


def unpack_position(content: bytes) -> Position:
    """Read a position.

    Raises:
        Unreadable: it was written by another version, or is damaged.
    """
    reader = Reader(content)
    code = reader.number()
    if code > len(KNOWN_TOPICS):
        raise Unreadable(f"byte 0: no topic has the code {code}")
    topic = KNOWN_TOPICS[code - 1] if code else reader.text()
    partition, offset, index = reader.number(), reader.number(), reader.number()
    reader.finish()
    return Position(topic, partition, offset, index - 1 if index else None)


def _begin(writer: Writer, kind: _Kind, event_time: EventTime) -> None:
    writer.raw(bytes([kind]))
    writer.event_time(event_time)


def _kind(reader: Reader) -> _Kind:
    (first,) = reader.raw(1)
    kind = _KINDS.get(first)
    if kind is None:
        raise Unreadable(f"byte 0: no kind of field is {first:#04x}")
    return kind


def _account_hash(account: _Account) -> bytes:
    return hashlib.blake2b(_packed_account(account, ""), digest_size=_HASH_SIZE).digest()


def _packed_account(account: _Account, near: str) -> bytes:
    writer = Writer(near)
    for text in account:
        writer.text(text)
    return writer.done()


def _account(reader: Reader, fields: Mapping[bytes, bytes], near: str) -> _Account | None:
    packed = fields.get(bytes([_Kind.ACCOUNT]) + reader.raw(_HASH_SIZE))
    if packed is None:
        return None
    texts = Reader(packed, near)
    account = _Account(texts.text(), texts.text(), texts.text())
    texts.finish()
    return account


def _graph_texts(graph: GraphRequest) -> tuple[str, ...]:
    return (
        graph.client_request_id,
        graph.request_id,
        graph.ip_address,
        graph.method,
        graph.uri,
        graph.status,
        graph.user_id,
        graph.application_id,
    )


def _assignment_texts(assignment: Assignment) -> tuple[str, ...]:
    actor, app = assignment.actor, assignment.app
    return (
        assignment.audit_event_id,
        assignment.operation,
        assignment.identity,
        actor.upn,
        assignment.correlation_id,
        actor.object_id,
        actor.partner_tenant_id,
        actor.application_id,
        actor.application_name,
        app.name,
        app.object_id,
    )


def _fact(reader: Reader, fields: Mapping[bytes, bytes], tenant_id: str, near: str) -> Fact | None:
    kind = _kind(reader)
    match kind:
        case _Kind.NAME | _Kind.ACCOUNT:
            return None
        case _Kind.RISK:
            event_time, account = reader.event_time(), _account(reader, fields, near)
            if account is None:
                return None
            return Risk(tenant_id, event_time, reader.text(), *account)
        case _Kind.BEHAVIOR:
            event_time, account = reader.event_time(), _account(reader, fields, near)
            if account is None:
                return None
            action_type, behavior_id = reader.text(), reader.text()
            return Behavior(tenant_id, event_time, behavior_id, action_type, *account)
        case _Kind.GRAPH:
            return GraphRequest(tenant_id, reader.event_time(), *(reader.text() for _ in range(8)))
        case _Kind.ASSIGNMENT:
            return _assignment(reader, tenant_id)
        case _Kind.ENTRY:
            raise Unreadable("byte 0: an entry of the index is no field")
        case _:
            assert_never(kind)


def _assignment(reader: Reader, tenant_id: str) -> Assignment:
    event_time, flags = reader.event_time(), reader.number()
    target_types = tuple([reader.text() for _ in range(reader.number())])
    audit_event_id, operation, identity, upn, correlation_id = (reader.text() for _ in range(5))
    object_id, partner_tenant_id, application_id, application_name = (
        reader.text() for _ in range(4)
    )
    return Assignment(
        tenant_id=tenant_id,
        audit_event_id=audit_event_id,
        event_time=event_time,
        operation=operation,
        identity=identity,
        correlation_id=correlation_id,
        target_types=target_types,
        split_signals=bool(flags >> 1),
        actor=Actor(
            upn=upn,
            object_id=object_id,
            is_delegated_admin=bool(flags & 1),
            partner_tenant_id=partner_tenant_id,
            application_id=application_id,
            application_name=application_name,
        ),
        app=App(name=reader.text(), object_id=reader.text()),
    )
