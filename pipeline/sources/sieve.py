r"""The byte test in front of decoding: which values can hold a fact at all.

Every fact needs one of a few words, spelled exactly or in any case, in the bytes of its record. A
JSON escape can spell a letter (`\u0041`), so a value with an escape of an ASCII letter is let
through, too. In JSON inside of a JSON text such an escape may itself be spelled with escapes: its
backslash, its `u` and its hexadecimal digits. So an escaped backslash (`\u005c`, among the letters)
or digit (`\u0030`) counts like an escaped letter.

The engine looks for a piece of each word, of at most eight letters, and for the rest only where it
finds the piece. Left alone it takes the ends, but `ment`, `try` and `ivity` are frequent in
records; so some letters are left open (`.`), beside which it takes the longer part, which is rare.
Up to eight words take it half the time of nine, so two of them share one. (The open letter of
RiskLevel spares 50 ms of compiling.)
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

from pyperscan import BlockDatabase

from pipeline.core.evidence import Matching
from pipeline.sources.words import Words, compiled

_AUDIT: Final = rb"(?s)MobileAppAss.gnment"
_RISK: Final = rb'(?s)Ri.kLevel[\\"\s:nrtu0-9acdACD]*(?:[Hh][Ii][Gg][Hh]|[Mm][Ee][Dd][Ii][Uu][Mm])'
_BEHAVIORS: Final = (
    rb"(?s)ActivityFromInf.equentCountry",
    rb"(?s)ImpossibleTrav.lActivity",
    rb"(?s)Suspicious.[dm][mp][ie][nr].{7,9}Activity",  # Administrative and Impersonated
    rb"(?s)UnusualAdditionOfCredentialsToAnOauth.pp",
)
_ESCAPED_LETTER: Final = rb"\\u00+(?:[4-7]|3[0-9])"
"""Two zeros would do, but takes longer; with more, a few control characters are let through."""
_GRAPH: Final = {
    Matching.REPAIRED: rb"(?is)deviceAppMan.gement",
    Matching.FAITHFUL: rb"(?s)[Cc]lientRequ.stId",
}


class Sieve:
    """Finds decisive words in bytes in one pass over all of them.

    Not for two threads at once: the engine's scratch space is this object's own.
    """

    def __init__(self, matching: Matching = Matching.REPAIRED) -> None:
        self._matching, self._words = matching, Words(_words_of(matching))

    def follow(self, matching: Matching) -> None:
        """Look for the words of another matching from now on."""
        if matching is not self._matching:
            self._matching, self._words = matching, Words(_words_of(matching))

    def spots(self, data: bytes | memoryview) -> Sequence[int]:
        """Return the end offset of every decisive word in the data, ascending."""
        return self._words.ends_in(data)

    def admits(self, value: bytes | memoryview) -> bool:
        """Tell whether a value may hold a fact; what is refused holds none."""
        return self._words.occur_in(value)


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


@cache
def _words_of(matching: Matching) -> BlockDatabase:
    """Compile the words of a matching, which takes 12 ms, once."""
    return compiled(_AUDIT, _RISK, _GRAPH[matching], _ESCAPED_LETTER, *_BEHAVIORS)
