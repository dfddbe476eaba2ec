"""Numbers and texts in few bytes: the alphabet in which `packing` writes facts and positions.

A text begins with a number: its form in the low three bits, a length above them. Texts that
repeat what stands beside them (the key they lie under, the text before) cost a byte or two.
"""

import re
from enum import IntEnum
from typing import Final

from pipeline.core.event_time import EventTime

KNOWN_TEXTS: Final = (
    "High",
    "Medium",
    "ActivityFromInfrequentCountry",
    "ImpossibleTravelActivity",
    "SuspiciousAdministrativeActivity",
    "SuspiciousImpersonatedActivity",
    "UnusualAdditionOfCredentialsToAnOauthApp",
    "Create MobileAppAssignment",
    "Patch MobileAppAssignment",
    "AllDevicesAssignmentTarget",
    "AllLicensedUsersAssignmentTarget",
    "GET",
    "POST",
    "PATCH",
    "PUT",
    "DELETE",
)
"""Texts with a code, which is their place: add behind, never move or remove."""

ENCODING: Final = "utf-8"
ERRORS: Final = "surrogatepass"
"""A JSON text may hold half a surrogate pair; it comes back as it went in."""

_BEHAVIOR_ID: Final = "oa"
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Unreadable(ValueError):
    """Bytes that this version did not write."""


class _Form(IntEnum):
    RAW = 0  # so many bytes of UTF-8
    KNOWN = 1  # the place in KNOWN_TEXTS
    GUID = 2  # 16 bytes
    HEX = 3  # so many bytes
    BEHAVIOR = 4  # the same, with "oa" before it
    NEAR = 5  # so many characters of the text nearby
    NEAR_CASED = 6  # the same, then the bitmap of its capitals
    BEFORE = 7  # so many characters of the text before


_FORMS: Final = tuple(_Form)


class Writer:
    """Writes values one after the other.

    Args:
        near: A text in lower case that the texts are likely to repeat.
    """

    def __init__(self, near: str = "") -> None:
        self._near = near
        self._before = ""
        self._bytes = bytearray()

    def done(self) -> bytes:
        """Return what was written."""
        return bytes(self._bytes)

    def raw(self, content: bytes) -> None:
        """Write bytes whose count the reader knows."""
        self._bytes += content

    def number(self, value: int) -> None:
        """Write a number from 0 in steps of seven bits."""
        if value < 0:
            raise ValueError(f"{value}: below zero")
        while value > 0x7F:
            self._bytes.append(value & 0x7F | 0x80)
            value >>= 7
        self._bytes.append(value)

    def event_time(self, value: EventTime) -> None:
        """Write a signed number of eight bytes."""
        self._bytes += value.to_bytes(8, "big", signed=True)

    def text(self, value: str) -> None:
        """Write a text in the shortest form that brings it back as it is."""
        before, self._before = self._before, value
        if not value:
            self._form(_Form.RAW, 0)
        elif value in KNOWN_TEXTS:
            self._form(_Form.KNOWN, KNOWN_TEXTS.index(value))
        elif before.startswith(value):
            self._form(_Form.BEFORE, len(value))
        elif self._near.startswith(value):
            self._form(_Form.NEAR, len(value))
        elif value.isascii() and self._near.startswith(value.lower()):
            self._form(_Form.NEAR_CASED, len(value))
            self.number(sum(1 << place for place, one in enumerate(value) if one.isupper()))
        elif _GUID.fullmatch(value):
            self._form(_Form.GUID, 16)
            self._bytes += bytes.fromhex(value.replace("-", ""))
        elif _HEX.fullmatch(value):
            self._form(_Form.HEX, len(value) // 2)
            self._bytes += bytes.fromhex(value)
        elif value.startswith(_BEHAVIOR_ID) and _HEX.fullmatch(value, len(_BEHAVIOR_ID)):
            digits = value.removeprefix(_BEHAVIOR_ID)
            self._form(_Form.BEHAVIOR, len(digits) // 2)
            self._bytes += bytes.fromhex(digits)
        else:
            content = value.encode(ENCODING, ERRORS)
            self._form(_Form.RAW, len(content))
            self._bytes += content

    def _form(self, form: _Form, length: int) -> None:
        self.number(length << 3 | form)


class Reader:
    """Reads what a `Writer` with the same text nearby has written, in the same order.

    Raises:
        Unreadable: by every method, when the bytes end too early or mean nothing.
    """

    def __init__(self, content: bytes, near: str = "") -> None:
        self._near = near
        self._before = ""
        self._bytes = content
        self._at = 0

    def finish(self) -> None:
        """Check that nothing is left."""
        if self._at != len(self._bytes):
            raise Unreadable(f"byte {self._at}: more than was expected")

    def raw(self, count: int) -> bytes:
        """Read so many bytes."""
        self._at += count
        if self._at > len(self._bytes):
            raise Unreadable(f"byte {len(self._bytes)}: ends too early")
        return self._bytes[self._at - count : self._at]

    def number(self) -> int:
        """Read a number from 0."""
        value, shift = 0, 0
        while True:
            if self._at >= len(self._bytes):
                raise Unreadable(f"byte {self._at}: ends too early")
            byte = self._bytes[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte <= 0x7F:
                return value
            shift += 7

    def event_time(self) -> EventTime:
        """Read a signed number of eight bytes."""
        return EventTime(int.from_bytes(self.raw(8), "big", signed=True))

    def text(self) -> str:
        """Read a text."""
        tag = self.number()
        form, length = _FORMS[tag & 7], tag >> 3
        match form:
            case _Form.RAW:
                value = self.raw(length).decode(ENCODING, ERRORS)
            case _Form.KNOWN if length < len(KNOWN_TEXTS):
                value = KNOWN_TEXTS[length]
            case _Form.GUID:
                value = _guid(self.raw(16).hex())
            case _Form.HEX:
                value = self.raw(length).hex()
            case _Form.BEHAVIOR:
                value = _BEHAVIOR_ID + self.raw(length).hex()
            case _Form.NEAR if length <= len(self._near):
                value = self._near[:length]
            case _Form.NEAR_CASED if length <= len(self._near):
                capitals = self.number()
                value = "".join(
                    one.upper() if capitals >> place & 1 else one
                    for place, one in enumerate(self._near[:length])
                )
            case _Form.BEFORE if length <= len(self._before):
                value = self._before[:length]
            case _:
                raise Unreadable(f"byte {self._at}: a text of form {form} cannot be {length} long")
        self._before = value
        return value


def _guid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
