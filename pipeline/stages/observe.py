"""Observe: candidates of a source topic become facts, and ask for the evaluations they touch.

The order of the steps is what makes results independent of the order of arrival: a fact is
durable before anybody asks which assignments it touches, so whichever of two related facts comes
second sees the first.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, assert_never

import structlog

from pipeline.core.model import Assignment, Behavior, Fact, GraphRequest, Position, Risk, Seen
from pipeline.core.window import Windows
from pipeline.ports import (
    Candidate,
    DeadLetter,
    DeadLetterSink,
    FactStore,
    Ready,
    RequestSink,
)
from pipeline.sources.outcome import Decode, Ignored, Malformed, Record
from pipeline.stages.counts import ObserveCounts
from pipeline.stages.seldom import Seldom

_LETTERS_A_VALUE: Final = 16
_LETTER_BYTES_A_VALUE: Final = 4 * 1024 * 1024
"""Each letter carries the whole value: more of them than that are one letter for all of it."""

_log = structlog.get_logger()

_BYTES_A_TURN: Final = 1024 * 1024
"""Decoded before others get a turn of the loop: heartbeats run on it, too."""


@dataclass(frozen=True, slots=True)
class _Late:
    """A fact whose record was appended later than the policy waits, and how much after it."""

    seen: Seen[Fact]
    after: timedelta


@dataclass(slots=True)
class _Harvest:
    facts: list[Seen[Fact]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    ignored: list[tuple[str, Ignored, int]] = field(default_factory=list)
    unmapped: int = 0
    too_late: list[_Late] = field(default_factory=list)


class Observe:
    """Handles the candidates of one batch; calling it again with the same does no harm."""

    def __init__(
        self,
        *,
        facts: FactStore,
        requests: RequestSink,
        letters: DeadLetterSink,
        decode: Decode,
        windows: Windows,
        counts: ObserveCounts,
        speaks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._facts = facts
        self._requests = requests
        self._letters = letters
        self._decode = decode
        self._lateness_ms = _milliseconds(windows.lateness)
        self._counts = counts
        self._late_told = Seldom(_say_late, lambda one: one.after.total_seconds(), clock=speaks)

    def follow(self, facts: FactStore, decode: Decode, windows: Windows) -> None:
        """Go by another policy from now on, in the batch in hand, too.

        Facts that are on their way are kept as they were decoded; which assignments they touch is
        asked afterwards, by the windows that hold then.
        """
        self._facts = facts
        self._decode = decode
        self._lateness_ms = _milliseconds(windows.lateness)

    def tell_rest(self) -> None:
        """Say of late records what was to be said later, if it is time."""
        self._late_told.tell_rest()

    async def __call__(self, candidates: Sequence[Candidate], ready: Ready) -> bool:
        """Make everything that follows from the candidates durable.

        Returns:
            True when all of it is durable and the batch may be acknowledged; false when the batch
            is no longer ours and must be dropped.

        Raises:
            StoreUnavailable: nothing is lost; call again when the store is back.
            BrokerUnavailable: likewise.
        """
        harvest = await self._harvest(candidates)
        if harvest.facts:
            if not await ready():
                return False
            await self._facts.add(harvest.facts)
            touched = await self._facts.touched([seen.fact for seen in harvest.facts])
            if not await ready():
                return False
            await self._requests.send(
                sorted(touched, key=lambda one: (one.tenant_id, one.audit_event_id))
            )
        if harvest.letters:
            if not await ready():
                return False
            await self._letters.send(harvest.letters)
        self._report(harvest)
        return True

    async def _harvest(self, candidates: Sequence[Candidate]) -> _Harvest:
        harvest, decoded_bytes = _Harvest(), 0
        for candidate in candidates:
            decoded_bytes += len(candidate.value or b"")
            if decoded_bytes > _BYTES_A_TURN:
                await asyncio.sleep(0)
                decoded_bytes = 0
            known = len(harvest.letters)
            for record in self._decode(candidate.value):
                self._sort(record, candidate, harvest)
            harvest.letters[known:] = _bounded(harvest.letters[known:])
        return harvest

    def _sort(self, record: Record, candidate: Candidate, harvest: _Harvest) -> None:
        decoded, where = record.decoded, candidate.position
        match decoded:
            case Ignored():
                harvest.ignored.append((where.topic, decoded, record.records))
            case Malformed(reason):
                harvest.letters.append(DeadLetter(candidate, reason, record.index))
            case Assignment() | Risk() | Behavior() | GraphRequest():
                position = Position(where.topic, where.partition, where.offset, record.index)
                seen = Seen[Fact](decoded, position)
                harvest.facts.append(seen)
                harvest.unmapped += bool(record.unmapped_workspace)
                after_ms = candidate.timestamp_ms - decoded.event_time // 10_000
                if after_ms > self._lateness_ms:
                    harvest.too_late.append(_Late(seen, timedelta(milliseconds=after_ms)))
            case _:
                assert_never(decoded)

    def _report(self, harvest: _Harvest) -> None:
        for topic, ignored, records in harvest.ignored:
            self._counts.ignored(topic, ignored.why, records)
        for seen in harvest.facts:
            self._counts.handled(seen.position.topic, kind_of(seen.fact))
        for letter in harvest.letters:
            self._counts.dead_lettered(letter.candidate.position.topic, letter.records)
            _log.warning(
                "record.dead_lettered",
                position=str(letter.candidate.position),
                index=letter.index,
                reason=letter.reason,
            )
        for _ in range(harvest.unmapped):
            self._counts.unmapped_workspace()
        for late in harvest.too_late:
            self._counts.too_late(kind_of(late.seen.fact))
        self._late_told.tell(harvest.too_late)


def _say_late(records: int, latest: _Late) -> None:
    _log.warning(
        "record.came_late",
        records=records,
        kind=kind_of(latest.seen.fact),
        position=str(latest.seen.position),
        tenant_id=latest.seen.fact.tenant_id,
        seconds=round(latest.after.total_seconds()),
        advice="facts it belongs to may have expired: only a backtest is certain",
    )


def _milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


def _bounded(letters: list[DeadLetter]) -> list[DeadLetter]:
    """Return the letters of one value, as one when they would multiply it beyond measure."""
    count = len(letters)
    if count <= _LETTERS_A_VALUE:
        return letters
    first = letters[0]
    if count * len(first.candidate.value or b"") <= _LETTER_BYTES_A_VALUE:
        return letters
    reason = f"{count} records, the first of them #{first.index}: {first.reason}"
    return [DeadLetter(first.candidate, reason, index=None, records=count)]


def kind_of(fact: Fact) -> str:
    """Name the kind of a fact, as metrics and sources do."""
    match fact:
        case Assignment():
            return "assignment"
        case Risk():
            return "risk"
        case Behavior():
            return "behavior"
        case GraphRequest():
            return "graph"
        case _:
            assert_never(fact)
