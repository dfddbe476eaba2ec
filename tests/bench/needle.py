"""What every way of reading looks for, and what it decodes; needs nothing but the decoder."""

from typing import Final

from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored

NEEDLE: Final = b"MobileAppAssignment"

_DECODE: Final = Decoder()


def hits_in(value: bytes) -> int:
    """Return how many records of a value are ignored when it is decoded; 0 without the needle."""
    if NEEDLE not in value:
        return 0
    return sum(isinstance(one.decoded, Ignored) for one in _DECODE(value))
