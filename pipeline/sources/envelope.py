"""The records of an envelope, one by one and unread: what nobody needs is never made."""

import re
from typing import Final

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder

_BEGINNING: Final = re.compile(rb'\s*\{\s*"records"\s*:\s*\[')


class _Envelope(Struct):
    records: list[Raw]


_envelope: Final = Decoder(_Envelope).decode


def unread_records(value: bytes) -> list[memoryview] | None:
    """Return the bytes of every record of an envelope, each of which is JSON by itself.

    None when the value is something else, or not JSON as a whole, or is better read in another
    way: that other way then tells what it is.
    """
    if _BEGINNING.match(value) is None or not _is_utf8(value):
        return None
    try:
        return [memoryview(one) for one in _envelope(value).records]
    except (MsgspecError, RecursionError):
        return None


def _is_utf8(value: bytes) -> bool:
    """Look at the letters, which are passed over where they are not read."""
    if value.isascii():
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
