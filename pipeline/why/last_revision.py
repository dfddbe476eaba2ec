"""What the alerts topic says last of one assignment, and whether a verdict says the same."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.adapters.alert_codec import decode, to_alert, without_arrival
from pipeline.adapters.kafka_sinks import partition_of, request_key
from pipeline.adapters.kafka_slice import Range, SliceReader, freeze
from pipeline.core.event_time import EventTime
from pipeline.core.model import AssignmentId, Fact, Position
from pipeline.core.verdict import Outcome, Verdict, alert_id, fact_id
from pipeline.ports import Candidate, Published, Revision, Status
from topics.alert import Alert
from topics.catalogue import ALERTS

_POLICY_HEADER = "masswatch-policy"


@dataclass(frozen=True, slots=True)
class LastRevision:
    """The last revision of an alert: as the writer reads it, and as others do."""

    published: Published
    alert: Alert
    position: Position
    policy_digest: str


def last_revision(client: Mapping[str, str], of: AssignmentId) -> LastRevision | None:
    """Read the partition of the alerts that may hold it, to its end.

    Raises:
        ConfigError: there is no alerts topic.
        BrokerUnavailable: the broker does not answer.
    """
    key = alert_id(of).encode()
    partitions = freeze(client, [ALERTS]).ranges
    its_own = partition_of(request_key(of), len(partitions))
    last: Candidate | None = None
    reader = SliceReader(client)
    try:
        for one in partitions:
            if one.partition == its_own:
                last = _last_of(key, reader, one)
    finally:
        reader.close()
    return None if last is None else _read(last)


def agrees(verdict: Verdict, last: LastRevision | None) -> bool:
    """Tell whether a worker of the same policy would leave the alerts as they are."""
    is_alert = verdict.outcome is Outcome.ALERT
    if last is None:
        return not is_alert
    if last.published.status is Status.WITHDRAWN:
        return not is_alert
    return is_alert and last.published.digest == verdict.digest


def differing_fields(verdict: Verdict, last: LastRevision) -> tuple[str, ...]:
    """Name the fields in which the last revision differs from what would be published now."""
    status = Status.ACTIVE if verdict.outcome is Outcome.ALERT else Status.WITHDRAWN
    facts: tuple[Fact, ...] = (
        *verdict.variants,
        *verdict.risk,
        *verdict.behaviors,
        *verdict.graph,
    )
    anywhere = tuple((fact_id(one), Position("", 0, 0)) for one in facts)
    ours = to_alert(Revision(verdict, 1, status, EventTime(0), anywhere, ""))
    now = without_arrival(ours.model_dump(mode="json", exclude={"digest"}))
    theirs = last.alert.model_dump(mode="json")
    return tuple(sorted(name for name, of in now.items() if theirs.get(name) != of))


def _last_of(key: bytes, reader: SliceReader, partition: Range) -> Candidate | None:
    last = None
    for values in reader.read(partition):
        for one in values:
            if one.key == key and one.value is not None:
                last = one
    return last


def _read(candidate: Candidate) -> LastRevision:
    value = candidate.value or b""
    _, published = decode(value)
    return LastRevision(
        published=published,
        alert=Alert.model_validate_json(value, extra="ignore"),
        position=candidate.position,
        policy_digest=dict(candidate.headers).get(_POLICY_HEADER, b"").decode(),
    )
