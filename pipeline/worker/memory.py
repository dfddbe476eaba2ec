"""The garbage collector looks seldom.

It looks at all young objects whenever there are 700 more, which a batch of facts makes many times
without leaving a cycle: a fifth of the CPU for each alert.
"""

import gc
from typing import Final

_YOUNG: Final = 5_000
"""More than the objects of a batch in hand would let megabytes lie that a cycle holds."""


def collect_seldom() -> None:
    """Let the garbage collector pass over what is there by now, and look at the rest seldom."""
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
