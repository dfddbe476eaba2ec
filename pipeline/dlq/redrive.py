"""Redrive: the values of dead letters are sent to their source topics again.

A value that is sent twice changes no result (law 1), so what has to be guarded against is loops
and floods, not duplicates. There are three guards, the strongest first:

- A letter is skipped as long as today's code and policy would refuse its record again.
- A letter is skipped once its value was redriven: a note beside it in the DLQ says so. If the
  record is refused once more, it becomes a new letter, of a new position.
- The redriven record counts its redrives in a header, which comes back with such a new letter, and
  a letter of too many is skipped.

Notes are written once the values of a batch are confirmed. What is killed between the two sends
this batch again the next time, and the count bounds even that. A transaction over both would
spare the duplicates, but one left open holds up every reader of the source topics.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from pipeline.adapters.kafka_feed import Recorded
from pipeline.adapters.kafka_replay import Failures
from pipeline.core.errors import MasswatchError
from pipeline.core.model import Position
from pipeline.dlq.letter import Letter, Origin
from pipeline.dlq.rereading import Reread

AT_MOST: Final = 3
"""How often a value is redriven unless asked otherwise."""

_VALUES_AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 16 * 1024 * 1024
_SHOWN_AT_MOST: Final = 100


class Skipped(StrEnum):
    """Why a letter is not redriven."""

    SAME_VALUE = "its value is sent for another letter"
    REDRIVEN = "already redriven"
    CUT = "cut: its value is not whole"
    TOO_OFTEN = "redriven too often"
    REFUSED = "would be refused again"
    NO_TOPIC = "its source topic is gone"


class Sender(Protocol):
    """What writes: see `pipeline.adapters.kafka_replay.ReplayProducer`."""

    confirmed: Counter[str]

    @property
    def failures(self) -> Sequence[Failures]:
        """What has not arrived."""
        ...

    def send(
        self, record: Recorded, topic: str, partition: int | None = None, time_ms: int = 0
    ) -> None:
        """Hand a record over."""
        ...

    def finish(self) -> None:
        """Wait until of every value it is known whether it arrived."""
        ...


class Guard:
    """Decides which letters are redriven.

    Args:
        reread: What a letter's record would become.
        noted: The values that were redriven.
        topics: The topics that there are.
        at_most: How often a value may be redriven.
        even_if_refused: Let pass what would be refused again.
    """

    def __init__(
        self,
        reread: Callable[[Letter], Reread],
        noted: AbstractSet[Origin],
        topics: AbstractSet[str],
        *,
        at_most: int = AT_MOST,
        even_if_refused: bool = False,
    ) -> None:
        self._reread = reread
        self._noted = noted
        self._topics = topics
        self._at_most = at_most
        self._even_if_refused = even_if_refused
        self._let_through: set[Origin] = set()

    def skips(self, letter: Letter) -> Skipped | None:
        """Tell why a letter is skipped; None: its value is to be sent."""
        why = self._why_not(letter)
        if why is None:
            self._let_through.add(letter.origin)
        return why

    def _why_not(self, letter: Letter) -> Skipped | None:
        if letter.origin in self._let_through:
            return Skipped.SAME_VALUE
        if letter.origin in self._noted:
            return Skipped.REDRIVEN
        if letter.origin.topic not in self._topics:
            return Skipped.NO_TOPIC
        if letter.cut_from is not None:
            return Skipped.CUT
        if letter.redrives >= self._at_most:
            return Skipped.TOO_OFTEN
        if not self._even_if_refused and self._reread(letter).is_refused:
            return Skipped.REFUSED
        return None


@dataclass(frozen=True, slots=True)
class Sent:
    """A letter whose value is sent: where it lies, where it came from, why, how often before."""

    at: Position
    source: Position
    reason: str
    redrives: int


@dataclass(slots=True)
class Redriven:
    """What a redrive did, or would do.

    Attributes:
        letters: Those asked for, by source topic.
        values: Those sent, or to be sent, by source topic.
        skipped: Letters by source topic and why.
        first: The first letters whose values are sent.
        failures: What has not arrived.
        reached_limit: Whether it ended because it was to send no more.
        ended_by: What kept it from reading to the end.
    """

    letters: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    skipped: Counter[tuple[str, Skipped]] = field(default_factory=Counter)
    first: list[Sent] = field(default_factory=list)
    failures: tuple[Failures, ...] = ()
    reached_limit: bool = False
    ended_by: MasswatchError | None = None


def redrive(
    letters: Iterable[Letter],
    guard: Guard,
    partitions: Mapping[str, int],
    sender: Sender | None,
    limit: int | None = None,
) -> Redriven:
    """Send the values of letters to where they came from, and wait until they are confirmed.

    A value goes to the partition that it came from, if there is one; else by its key. The first
    batch of which something does not arrive is the last, and what is in hand is sent even when
    the DLQs cannot be read on.

    Args:
        letters: The letters asked for.
        guard: Decides about each.
        partitions: How many partitions each topic has.
        sender: What writes; None: nothing is written.
        limit: Values that are sent at most.
    """
    done, batch = Redriven(), _Batch(partitions, sender)
    try:
        for letter in letters:
            topic = letter.origin.topic
            why = guard.skips(letter)
            if why is None and limit is not None and done.values.total() >= limit:
                done.reached_limit = True
                break
            done.letters[topic] += 1
            if why is not None:
                done.skipped[topic, why] += 1
                continue
            done.values[topic] += 1
            if len(done.first) < _SHOWN_AT_MOST:
                done.first.append(Sent(letter.at, letter.source, letter.reason, letter.redrives))
            batch.put(letter)
            if sender is not None and sender.failures:
                break
    except MasswatchError as error:
        done.ended_by = error
    batch.send()
    done.failures = () if sender is None else tuple(sender.failures)
    return done


class _Batch:
    """Letters whose values are sent together, and then the notes of them."""

    def __init__(self, partitions: Mapping[str, int], sender: Sender | None) -> None:
        self._partitions = partitions
        self._sender = sender
        self._letters: list[Letter] = []
        self._bytes = 0

    def put(self, letter: Letter) -> None:
        self._letters.append(letter)
        self._bytes += len(letter.record.value or b"")
        if len(self._letters) >= _VALUES_AT_ONCE or self._bytes >= _BYTES_AT_ONCE:
            self.send()

    def send(self) -> None:
        batch, self._letters, self._bytes = self._letters, [], 0
        sender = self._sender
        if sender is None or sender.failures:
            return
        for one in batch:
            topic, partition = one.origin.topic, one.origin.partition
            there = partition < self._partitions[topic]
            sender.send(one.redriven(), topic, partition if there else None)
        sender.finish()
        if sender.failures:
            return
        for one in batch:
            sender.send(one.note(), one.at.topic, one.at.partition)
        sender.finish()
