"""How far the reading of a slice is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is: values read so far, units done, and units in all."""

    values: int
    done: int
    total: int


Watch = Callable[[Progress], None]
"""Is told now and then."""
