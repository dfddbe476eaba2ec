"""Whether what is on the topics is what must be there, and whether the counters add up."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.history import History
from confluent_kafka import Message
from expectation import PublishedAlert
from kafka_topic import KafkaTopic
from letters import dead_letters

from pipeline.adapters.alert_codec import without_arrival
from pipeline.core.evidence import Matching
from topics.catalogue import ALERTS, Sources, dlq_of


@dataclass(frozen=True, slots=True)
class Published:
    """One revision, as a `read_committed` consumer sees it."""

    alert_id: str
    number: int
    ce_id: str
    value: bytes

    @property
    def content(self) -> dict[str, Any]:
        """The value, read."""
        content: dict[str, Any] = json.loads(self.value)
        return content


@dataclass(frozen=True, slots=True)
class Findings:
    """What a schedule has come to.

    `faults` is what must not be: lost, wrong, stale, cross-tenant, not conserved. The rest counts.
    """

    faults: tuple[str, ...]
    alerts: int
    revisions: int
    letters: int
    letters_twice: int

    def __str__(self) -> str:
        return (
            f"{self.alerts} alerts in {self.revisions} revisions, "
            f"{self.letters} dead letters ({self.letters_twice} twice)"
        )


def find(client: Mapping[str, str], history: History, matching: Matching) -> Findings:
    """Compare what is on the topics with what the history must bring."""
    revisions = [_read(one) for one in KafkaTopic(ALERTS, client).messages()]
    letters = dead_letters(client, [dlq_of(topic) for topic in Sources().all])
    places = Counter((one.topic, one.partition, one.offset, one.index) for one in letters)
    refused = {(one.topic, one.value or b"") for one in letters}
    return Findings(
        faults=(
            *_compared(revisions, history.expected(matching)),
            *_numbered(revisions),
            *_crossed(revisions, history.tenants),
            *(f"lost: dead letter of {one[0]}" for one in history.refused - refused),
            *(f"wrong: dead letter of {one[0]}" for one in refused - history.refused),
        ),
        alerts=len({one.alert_id for one in revisions}),
        revisions=len(revisions),
        letters=len(letters),
        letters_twice=len(letters) - len(places),
    )


def conserved(metrics: Mapping[str, float]) -> Iterator[str]:
    """Check law 2 in the counters of one worker at rest."""
    by_topic: dict[str, Counter[str]] = defaultdict(Counter)
    for name, value in metrics.items():
        what, _, labels = name.partition("{")
        topic = labels.partition('topic="')[2].partition('"')[0]
        if topic:
            by_topic[topic][what.removeprefix("masswatch_").removesuffix("_total")] += int(value)
    for topic, counts in by_topic.items():
        opened = counts["values_fetched"] - counts["values_sieved"]
        if opened != counts["values_opened"]:
            yield f"not conserved: {topic}: {dict(counts)}: fetched is not sieved and opened"
        finished = counts["values_opened"] - counts["values_dropped"]
        ended = (
            counts["records_ignored"] + counts["records_handled"] + counts["records_dead_lettered"]
        )
        if ended < finished:  # a value holds one record or more
            yield f"not conserved: {topic}: {dict(counts)}: records of finished values are missing"


def _compared(
    revisions: Sequence[Published], expected: Mapping[str, PublishedAlert]
) -> Iterator[str]:
    last = {one.alert_id: one for one in revisions}
    for alert_id in expected.keys() - last.keys():
        yield f"lost: {alert_id}: {_in_short(expected[alert_id])}"
    for alert_id, one in last.items():
        content = without_arrival(one.content)
        if alert_id not in expected:
            yield f"wrong: {alert_id}: must not be there: {_in_short(content)}"
        elif content["status"] != "active":
            yield f"stale: {alert_id}: {content['status']}"
        elif content != expected[alert_id]:
            yield f"stale: {alert_id}: {_difference(content, expected[alert_id])}"


def _numbered(revisions: Sequence[Published]) -> Iterator[str]:
    """Check that each alert's revisions count from 1 on, and no number stands for two contents."""
    by_alert: dict[str, list[Published]] = defaultdict(list)
    for one in revisions:
        by_alert[one.alert_id].append(one)
        if one.ce_id != f"{one.alert_id}.{one.number}":
            yield f"wrong: {one.alert_id}: ce_id {one.ce_id} of revision {one.number}"
    for alert_id, of_it in by_alert.items():
        numbers = [one.number for one in of_it]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"wrong: {alert_id}: revisions {numbers}"


def _crossed(revisions: Sequence[Published], tenants: frozenset[str]) -> Iterator[str]:
    for one in revisions:
        ours = one.content["tenant_id"]
        for other in tenants - {ours}:
            if other.encode() in one.value:
                yield f"cross-tenant: {one.alert_id} of {ours} holds {other}"


def _in_short(alert: Mapping[str, Any]) -> str:
    return f"{alert['tenant_id']} {alert['audit_event_id']} {alert['reasons']}"


def _difference(content: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    differing = {
        key for key in content.keys() | expected.keys() if content.get(key) != expected.get(key)
    }
    counts = {
        kind: (len(content["evidence"][kind]), len(expected["evidence"][kind]))
        for kind in expected["evidence"]
    }
    return f"differs in {sorted(differing)}; evidence there and expected: {counts}"


def _read(message: Message) -> Published:
    headers: dict[str, bytes] = dict(message.headers() or [])  # type: ignore[arg-type]  # bytes
    value: Any = message.value()
    content = json.loads(value)
    key: Any = message.key()
    if key.decode() != content["alert_id"]:
        raise AssertionError(f"key {key} of alert {content['alert_id']}")
    return Published(content["alert_id"], content["revision"], headers["ce_id"].decode(), value)
