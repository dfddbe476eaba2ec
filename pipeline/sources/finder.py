r"""Find the values that may hold an id, in any case and however JSON may spell it.

Like the sieve, it lets a value through when it holds a JSON escape that could spell a part of the
id: a letter, a digit, one of `-._:`, or the backslash of an escape within an escape.
"""

import re
from collections.abc import Sequence
from typing import Final

from pipeline.sources.words import Words, compiled

_PLAIN: Final = re.compile(r"[A-Za-z0-9._:-]+")
_ESCAPED: Final = rb"\\u00(?:[4-7]|3[0-9aA]|2[dDeE])"
_EVERY_EVENT: Final = "AuditEventId"


class Finder:
    """Finds an id in bytes; what it refuses holds it nowhere.

    Not for two threads at once: the engine's scratch space is this object's own.

    Args:
        text: The id. Of one with other characters than ASCII letters, digits and `._:-`, which
            JSON spells in more ways, the longest run of these is looked for.
    """

    def __init__(self, text: str) -> None:
        run = max(_PLAIN.findall(text), key=len, default=_EVERY_EVENT)
        self._words = Words(compiled(rb"(?i)" + re.escape(run).encode(), _ESCAPED))

    def spots(self, data: bytes | memoryview) -> Sequence[int]:
        """Return the end offset of every place where the id may be, ascending."""
        return self._words.ends_in(data)
