"""How a worker uses memory: freed memory stays, and the garbage collector looks seldom.

An answer to a fetch is 8 MiB, copied a few times and freed. By default glibc returns that much to
the system at once, so that every fetch pays for fresh pages: up to 3 of 7 µs per record.

The collector looks at all young objects whenever there are 700 more, which a batch of facts makes
many times without leaving a cycle: a seventh of the CPU for each alert.
"""

import ctypes
import gc
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_MEBIBYTE: Final = 1 << 20
_KEPT: Final = 64 * _MEBIBYTE
_LARGEST: Final = 32 * _MEBIBYTE
_YOUNG: Final = 5_000
"""More than the objects of a batch in hand would let megabytes lie that a cycle holds."""


def keep_freed_memory() -> None:
    """Let up to 64 MiB of freed memory stay with this process; only glibc has to be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, _KEPT)


def collect_seldom() -> None:
    """Let the garbage collector pass over what is there by now, and look at the rest seldom."""
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
