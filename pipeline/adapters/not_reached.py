"""A server that did not answer a look at it."""

from typing import NamedTuple, Self

from pipeline.core.errors import BrokerRefuses, ConfigError, MasswatchError, StoreRefuses


class NotReached(NamedTuple):
    """A server that did not answer: where it should be, what was seen, and what to do.

    `is_refused` tells that it is there, or would be, but not with our settings.
    """

    where: str
    what: str
    remedy: str
    is_refused: bool = False

    @classmethod
    def of(cls, error: MasswatchError) -> Self:
        """Take an error, which says where: what: what to do, apart."""
        where, what, remedy = taken_apart(str(error))
        is_refused = isinstance(error, ConfigError | BrokerRefuses | StoreRefuses)
        return cls(where, what, remedy, is_refused)


def taken_apart(text: str) -> tuple[str, str, str]:
    """Return where, what and what to do of an error's text; the last may be missing in it."""
    where, _, rest = text.partition(": ")
    what, colon, remedy = rest.rpartition(": ")
    return (where, what, remedy) if colon else (where, rest, "")
