"""Dead letters counted by topic and reason."""

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from pipeline.core.model import Position
from pipeline.dlq.letter import Letter, Origin

_OF_MANY: Final = re.compile(r"\d+ records, the first of them #\d+: ")


@dataclass(slots=True)
class Kind:
    """The letters of one topic and reason.

    `redriven` of them were sent again; `first_ms` and `last_ms` are record times, `latest` is
    where the last one lies.
    """

    topic: str
    reason: str
    first_ms: int
    last_ms: int
    latest: Position
    letters: int = 0
    redriven: int = 0

    def count(self, letter: Letter, *, redriven: bool) -> None:
        """Count a letter."""
        at_ms = letter.record.time_ms
        self.letters += 1
        self.redriven += redriven
        self.first_ms = min(self.first_ms, at_ms)
        if at_ms >= self.last_ms:
            self.last_ms, self.latest = at_ms, letter.at


def summed(letters: Iterable[Letter], noted: AbstractSet[Origin]) -> list[Kind]:
    """Count letters by topic and reason; the most frequent first.

    Args:
        letters: What is counted.
        noted: The values that were redriven.
    """
    kinds: dict[tuple[str, str], Kind] = {}
    for one in letters:
        # Numbers in it would make a kind of every letter that stands for many records.
        reason = _OF_MANY.sub("many records: ", one.reason)
        key = one.origin.topic, reason
        if key not in kinds:
            at_ms = one.record.time_ms
            kinds[key] = Kind(*key, at_ms, at_ms, one.at)
        kinds[key].count(one, redriven=one.origin in noted)
    return sorted(kinds.values(), key=lambda kind: (-kind.letters, kind.topic, kind.reason))
