"""Decode of an envelope only the records that can matter: most of them never become objects."""

from typing import Final

from pipeline.sources.decode import Decoder
from pipeline.sources.envelope import unread_records
from pipeline.sources.outcome import Ignored, Record, Why
from pipeline.sources.sieve import Sieve
from pipeline.sources.words import Words, compiled

_OBJECT: Final = ord("{")
_TABLE: Final = compiled(
    rb'(?i)"AdvancedHunting-(?:IdentityInfo|BehaviorEntities|GraphAPIAuditEvents)"',
    rb'(?i)"MicrosoftGraphActivityLogs"',
)
_TEXT: Final = compiled(rb'"properties"\s*:\s*"')
"""A record of such a table whose properties are a text may be malformed for that alone."""

_REST: Final = Ignored(Why.NO_DECISIVE_WORD)


class SievingDecoder:
    """Decodes values as `Decoder` does, as far as facts and malformed records go.

    Those records of an envelope that can be neither come as one that is ignored, behind the others,
    and says how many it stands for. Not for two threads at once.

    Args:
        decode: What decodes the records that may matter.
    """

    def __init__(self, decode: Decoder) -> None:
        self._decode = decode
        self._sieve = Sieve(decode.matching)
        self._table, self._text = Words(_TABLE), Words(_TEXT)

    def __call__(self, value: bytes | None) -> list[Record]:
        """Take a value apart; the records returned stand for all of it."""
        records = unread_records(value) if value else None
        if records is None:
            return self._decode(value)
        may_be_text = self._may_be_text(value or b"")
        opened = [
            self._decode.record(index, record)
            for index, record in enumerate(records)
            if record[0] != _OBJECT
            or self._sieve.admits(record)
            or (may_be_text and self._may_be_text(record))
        ]
        rest = len(records) - len(opened)
        return [*opened, Record(None, _REST, records=rest)] if rest else opened

    def _may_be_text(self, data: bytes | memoryview) -> bool:
        return self._table.occur_in(data) and self._text.occur_in(data)
