"""Alerts, evaluation requests and dead letters in memory, with the promises of those on Kafka."""

from collections import defaultdict
from collections.abc import Sequence

from pipeline.adapters.alert_codec import Encoded, decode, encode
from pipeline.core.errors import LostOwnership
from pipeline.core.model import AssignmentId
from pipeline.ports import DeadLetter, Published, Revision


class MemoryAlertsTopic:
    """The alerts topic: what a reader of committed records sees, partition by partition."""

    def __init__(self) -> None:
        self.records: defaultdict[int, list[Encoded]] = defaultdict(list)
        self.owners: dict[int, MemoryAlerts] = {}

    def open(self, partition: int = 0) -> "MemoryAlerts":
        """Take a partition over, which fences whoever had it."""
        owner = MemoryAlerts(self, partition)
        self.owners[partition] = owner
        return owner


class MemoryAlerts:
    """One take-over of one partition of a `MemoryAlertsTopic`; an `AlertLog`."""

    def __init__(self, topic: MemoryAlertsTopic, partition: int) -> None:
        """For `MemoryAlertsTopic.open` alone."""
        self._topic = topic
        self._partition = partition
        self._published = dict(decode(one.value) for one in topic.records[partition])

    def last(self, alert_id: str) -> Published | None:
        """Return the last revision of an alert, of whichever writer, or None."""
        return self._published.get(alert_id)

    async def publish(self, revisions: Sequence[Revision]) -> None:
        """Publish all of the revisions or none; see `AlertLog`."""
        encoded = [encode(revision) for revision in revisions]
        if self._topic.owners.get(self._partition) is not self:
            raise LostOwnership(f"alerts[{self._partition}]: fenced or closed: take it over again")
        self._topic.records[self._partition] += encoded
        self._published.update(decode(one.value) for one in encoded)

    def close(self) -> None:
        """Give the partition up."""
        if self._topic.owners.get(self._partition) is self:
            del self._topic.owners[self._partition]


class MemoryRequests:
    """Evaluation requests in the order they were sent; a `RequestSink`."""

    def __init__(self) -> None:
        self.sent: list[AssignmentId] = []

    async def send(self, ids: Sequence[AssignmentId]) -> None:
        """Ask for evaluations."""
        self.sent += ids


class MemoryDeadLetters:
    """Dead letters in the order they were sent; a `DeadLetterSink`."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters."""
        self.letters += letters
