"""Evaluation requests and dead letters on Kafka."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Final

from pipeline.adapters.kafka_deliveries import Deliveries, Outgoing
from pipeline.core.model import AssignmentId
from pipeline.ports import Candidate, DeadLetter, Headers
from topics.catalogue import DEAD_LETTER_MAX_BYTES, EVALUATIONS, dlq_of

PROVENANCE: Final = "masswatch-dlq-"
_VALUE_AT_MOST: Final = DEAD_LETTER_MAX_BYTES - 64 * 1024
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
WHOLE: Final = b"null"
"""The index of a dead letter whose value could not be taken apart."""


class KafkaRequests:
    """Evaluation requests; `partition_of` places all of one assignment in one partition.

    Args:
        partitions: How many partitions the topic has, which all workers must see alike.
    """

    def __init__(self, deliveries: Deliveries, partitions: int, topic: str = EVALUATIONS) -> None:
        self._deliveries = deliveries
        self._partitions = partitions
        self._topic = topic

    async def send(self, ids: Sequence[AssignmentId]) -> None:
        """Ask for evaluations; see `RequestSink`."""
        await self._deliveries.send([self._request(one) for one in ids])

    def _request(self, asked: AssignmentId) -> Outgoing:
        key = request_key(asked)
        return Outgoing(
            topic=self._topic,
            value=request_value(asked),
            key=key,
            partition=partition_of(key, self._partitions),
        )


class KafkaDeadLetters:
    """Dead letters: the value, key and headers as they came, and where they came from."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters; see `DeadLetterSink`."""
        await self._deliveries.send([_outgoing(letter) for letter in letters])


def request_key(asked: AssignmentId) -> bytes:
    """Write the key of a request: a JSON array of tenant and audit event."""
    return _json([asked.tenant_id, asked.audit_event_id])


def request_value(asked: AssignmentId) -> bytes:
    """Write the value of a request, as `read_request` reads it."""
    return _json({"tenant_id": asked.tenant_id, "audit_event_id": asked.audit_event_id})


def partition_of(key: bytes, partitions: int) -> int:
    """Return where a request belongs: the CRC-32 of its key (as zlib has it) modulo the count.

    Every worker of every version must compute this alike, and the count must never change while
    alerts are kept: partition p of the alerts is written by the owner of partition p here, and
    an assignment that moved would have two writers and two counts of revisions.
    """
    return zlib.crc32(key) % partitions


def read_request(candidate: Candidate) -> AssignmentId | None:
    """Read which assignment a value of the evaluations topic asks for; None: it is no request."""
    try:
        request = json.loads(candidate.value or b"")
    except (ValueError, RecursionError):
        return None
    match request:
        case {"tenant_id": str(tenant_id), "audit_event_id": str(audit_event_id)}:
            return AssignmentId(tenant_id, audit_event_id)
        case _:
            return None


def _outgoing(letter: DeadLetter) -> Outgoing:
    candidate = letter.candidate
    value, key = candidate.value or b"", candidate.key or b""
    headers = (*candidate.headers, *_provenance(letter))
    room = _VALUE_AT_MOST - len(key) - sum(len(name) + len(of or b"") for name, of in headers)
    if len(value) <= room:
        return Outgoing(dlq_of(candidate.position.topic), candidate.value, candidate.key, headers)
    return Outgoing(
        topic=dlq_of(candidate.position.topic),
        value=value[: max(0, room)],
        key=candidate.key,
        headers=(*headers, *_truncation(value)),
    )


def _truncation(value: bytes) -> Headers:
    """Say what a value was that a compressed source topic could hold, and a DLQ cannot."""
    return (
        (f"{PROVENANCE}truncated-from", b"%d" % len(value)),
        (f"{PROVENANCE}sha256", hashlib.sha256(value).hexdigest().encode()),
    )


def _provenance(letter: DeadLetter) -> Headers:
    position = letter.candidate.position
    return (
        (f"{PROVENANCE}reason", letter.reason.encode(errors="backslashreplace")),
        (f"{PROVENANCE}topic", position.topic.encode()),
        (f"{PROVENANCE}partition", b"%d" % position.partition),
        (f"{PROVENANCE}offset", b"%d" % position.offset),
        (f"{PROVENANCE}index", WHOLE if letter.index is None else b"%d" % letter.index),
        (f"{PROVENANCE}timestamp", b"%d" % letter.candidate.timestamp_ms),
    )


def _json(value: object) -> bytes:
    return _ENCODER.encode(value).encode()
