"""Words looked for in bytes, all of them in one pass."""

from collections.abc import Sequence

from pyperscan import BlockDatabase, Pattern, Scan


def compiled(*words: bytes) -> BlockDatabase:
    """Compile regular expressions over bytes, which takes milliseconds."""
    return BlockDatabase(*map(Pattern, words))


class Words:
    """Finds words; not for two threads at once, as the engine's scratch space is this object's own.

    Args:
        database: The words; any number of objects may share them.
    """

    def __init__(self, database: BlockDatabase) -> None:
        self._spots: list[int] = []
        self._all = database.build(self._spots, _noted)
        self._first = database.build(None, _ended)

    def ends_in(self, data: bytes | memoryview) -> Sequence[int]:
        """Return the end offset of every word in the data, ascending."""
        self._spots.clear()
        self._all.scan(data)
        return self._spots.copy()

    def occur_in(self, data: bytes | memoryview) -> bool:
        """Tell whether there is one in the data, which is not looked at behind it."""
        return self._first.scan(data) is Scan.Terminate


def _noted(spots: list[int], _word: int, _first: int, end: int) -> Scan:
    spots.append(end)
    return Scan.Continue


def _ended(_context: None, _word: int, _first: int, _end: int) -> Scan:
    return Scan.Terminate
