"""Keep the memory of fetched answers, instead of giving it back and asking for it again.

An answer to a fetch is 8 MiB, copied a few times and freed. By default glibc returns that much to
the system at once, so that every fetch pays for fresh pages: up to 3 of 7 µs per record.
"""

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_MEBIBYTE: Final = 1 << 20
_KEPT: Final = 64 * _MEBIBYTE
_LARGEST: Final = 32 * _MEBIBYTE


def keep_freed_memory() -> None:
    """Let up to 64 MiB of freed memory stay with this process; only glibc has to be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, _KEPT)
