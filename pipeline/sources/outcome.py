"""What became of a record: a fact, ignored by rule, or malformed."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.core.model import Fact


class Why(StrEnum):
    """Why a record is none of our business."""

    OTHER_CATEGORY = "other_category"
    UNKNOWN_SHAPE = "unknown_shape"
    ENTRA_AUDIT = "entra_audit"
    OTHER_OPERATION = "other_operation"
    NO_PROPERTIES = "no_properties"
    NOT_FOR_EVERYBODY = "not_for_everybody"
    NO_RISK = "no_risk"
    NOT_A_USER = "not_a_user"
    OTHER_BEHAVIOR = "other_behavior"
    OTHER_REQUEST = "other_request"
    NOBODY = "nobody"
    EMPTY = "empty"
    NO_DECISIVE_WORD = "no_decisive_word"


@dataclass(frozen=True, slots=True)
class Ignored:
    """A record from which no fact follows, by rule."""

    why: Why


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that would matter and cannot be used."""

    reason: str


Decoded = Fact | Ignored | Malformed


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a value; `index` is its place among many, None when the value is the record.

    `unmapped_workspace` names a workspace id that was taken for the tenant, else "". `records` is
    more than one where several were ignored unread.
    """

    index: int | None
    decoded: Decoded
    unmapped_workspace: str = ""
    records: int = 1


Decode = Callable[[bytes | None], list[Record]]
"""Takes a value apart; every record in it has exactly one outcome."""
