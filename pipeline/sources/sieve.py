r"""The byte test in front of decoding: which values can hold a fact at all.

Every fact needs one of a few words, spelled exactly or in any case, in the bytes of its record. A
JSON escape can spell a letter (`\u0041`), so a value with an escape of an ASCII letter is let
through, too. In JSON inside of a JSON text such an escape may itself be spelled with escapes: its
backslash, its `u` and its hexadecimal digits. So an escaped backslash (`\u005c`, among the letters)
or digit (`\u0030`) counts like an escaped letter.
"""

from collections.abc import Sequence
from typing import Final, cast

import hyperscan

from pipeline.core.evidence import BEHAVIORS_THAT_COUNT, Matching

_ESCAPED_LETTER: Final = rb"\\u00+(?:[4-7]|3[0-9])"
"""Two zeros would do. Then the engine takes this for fourteen words instead of one pattern, and a
scan takes twice the time; with more, a few control characters are let through, too."""
_AUDIT: Final = rb"MobileAppAssignment"
_RISK: Final = rb'RiskLevel[\\"\s:nrtu0-9acdACD]*(?:[Hh][Ii][Gg][Hh]|[Mm][Ee][Dd][Ii][Uu][Mm])'
_GRAPH_APPS: Final = rb"(?i)deviceAppManagement"
_GRAPH_ANY: Final = rb"(?:C|c)lientRequestId"


class Sieve:
    """Finds decisive words in bytes in one pass over all of them.

    Not for two threads at once: the engine's scratch space is this object's own.
    """

    def __init__(self, matching: Matching = Matching.REPAIRED) -> None:
        self._spots: list[int] = []
        self._matching = matching
        self._words = _compiled(matching)

    def follow(self, matching: Matching) -> None:
        """Look for the words of another matching from now on."""
        if matching is not self._matching:
            self._matching, self._words = matching, _compiled(matching)

    def spots(self, data: bytes | memoryview) -> Sequence[int]:
        """Return the end offset of every decisive word in the data, ascending."""
        self._spots.clear()
        any_buffer = cast("bytes", data)  # the engine's stub knows no buffer but bytes
        self._words.scan(any_buffer, match_event_handler=self._found)
        return self._spots.copy()

    def admits(self, value: bytes) -> bool:
        """Tell whether a value may hold a fact; what is refused holds none."""
        self._spots.clear()
        self._words.scan(value, match_event_handler=self._found)
        return bool(self._spots)

    def _found(self, _word: int, _first: int, end: int, _flags: int, _context: object) -> None:
        self._spots.append(end)


class AnySieve:
    """Lets through what one of several sieves lets through."""

    def __init__(self, sieves: Sequence[Sieve]) -> None:
        self._sieves = sieves

    def spots(self, data: bytes | memoryview) -> Sequence[int]:
        """Return the end offset of every decisive word in the data, ascending."""
        if len(self._sieves) == 1:
            return self._sieves[0].spots(data)
        return sorted(spot for one in self._sieves for spot in one.spots(data))

    def admits(self, value: bytes) -> bool:
        """Tell whether a value may hold a fact; what is refused holds none."""
        return any(one.admits(value) for one in self._sieves)


def _compiled(matching: Matching) -> hyperscan.Database:
    graph = _GRAPH_APPS if matching is Matching.REPAIRED else _GRAPH_ANY
    behaviors = (word.encode() for word in sorted(BEHAVIORS_THAT_COUNT))
    words = (_AUDIT, _RISK, graph, _ESCAPED_LETTER, *behaviors)
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=words, elements=len(words))
    return database
