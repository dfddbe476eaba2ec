"""JSON Lines files, plain or compressed: one value of a source topic a line."""

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from pipeline.core.errors import ConfigError
from pipeline.core.model import Position
from pipeline.extra import needed
from pipeline.ports import Candidate, Sieve, Spots
from pipeline.slices.shard import Chunk

_BLOCK: Final = 256 * 1024
"""Read at a time, always into the same memory, which so stays in the processor's cache."""

_LINE_END: Final = ord("\n")
_LONGEST_LINE: Final = 64 * 1024 * 1024
_ZSTD: Final = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
"""Not `zstandard`, which takes the first frame, or a file that was cut off, for the whole."""

Open = Callable[[Path], io.BufferedIOBase]


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a file that begin in the bytes [first, end); all of them when end is None.

    A position in a file is its name, and the byte at which the line begins (when compressed: of
    the text in it).
    """

    path: Path
    first: int = 0
    end: int | None = None

    @property
    def units(self) -> int:
        """How much there is to do: bytes on the disk."""
        return (self.path.stat().st_size if self.end is None else self.end) - self.first

    def chunks(self, sieve: Sieve | None = None) -> Iterator[Chunk]:  # noqa: ARG002 - all are here
        """Yield the lines, many at once.

        Raises:
            ConfigError: the file cannot be read.
        """
        with _reporting(self.path), opener_of(self.path)(self.path) as file:
            at = _begin(file, self.first)
            name, buffer, held = str(self.path), bytearray(_BLOCK), 0
            while self.end is None or at < self.end:
                if held == len(buffer):
                    buffer = buffer + bytes(held)
                room = memoryview(buffer)
                read = file.readinto(room[held:])
                filled = held + read
                cut = buffer.rfind(b"\n", held, filled) + 1 if read else filled
                if self.end is not None and at + cut > self.end:
                    # The line over the end has begun before it, so it is ours to its last byte.
                    begun = buffer.find(b"\n", max(0, self.end - at - 1), cut)
                    cut = begun + 1 if begun >= 0 else cut
                if cut:
                    yield _Lines(name, at, buffer, cut)
                if not read:
                    if self.end is not None and at + filled < self.end:
                        raise ConfigError(
                            f"{self.path}: became shorter while it was read: read it again"
                        )
                    return
                at, held = at + cut, filled - cut
                room[:held] = room[cut:filled]
                if held > _LONGEST_LINE:
                    raise ConfigError(
                        f"{self.path}: a line longer than {_LONGEST_LINE >> 20} MiB at byte {at}: "
                        "write one value a line (jq -c does)"
                    )


class _Lines:
    """Whole lines that lie together, in memory that the next ones will be read into."""

    def __init__(self, name: str, first: int, buffer: bytearray, end: int) -> None:
        self._name = name
        self._first = first
        self._buffer = buffer
        self._end = end

    def __len__(self) -> int:
        # Four times as fast as bytes.count, which in Python 3.11 looks at each byte by itself.
        lines, at, find, end = 0, -1, self._buffer.find, self._end
        while (at := find(b"\n", at + 1, end)) >= 0:
            lines += 1
        return lines + (self._buffer[end - 1] != _LINE_END)

    @property
    def units(self) -> int:
        return self._end

    def candidates(self, sieve: Spots) -> Iterator[Candidate]:
        done = 0
        for spot in sieve.spots(memoryview(self._buffer)[: self._end]):
            if spot <= done:
                continue
            begin = self._buffer.rfind(b"\n", 0, spot - 1) + 1
            end = self._buffer.find(b"\n", spot, self._end)
            done = self._end if end < 0 else end
            candidate = self._candidate(begin, done)
            # A word may hold a line end: whether a line holds one must not depend on the cut.
            if sieve.spots(candidate.value or b""):
                yield candidate

    def __iter__(self) -> Iterator[Candidate]:
        begin = 0
        while begin < self._end:
            end = self._buffer.find(b"\n", begin, self._end)
            end = self._end if end < 0 else end
            yield self._candidate(begin, end)
            begin = end + 1

    def _candidate(self, begin: int, end: int) -> Candidate:
        value = bytes(memoryview(self._buffer)[begin:end])
        return Candidate(Position(self._name, 0, self._first + begin), value)


def lines_of(path: Path, at_most: int) -> Iterator[Lines]:
    """Yield a file in parts of about so many bytes; a compressed one as a whole.

    Raises:
        ConfigError: the file cannot be read.
    """
    if opener_of(path) is not _plain:
        yield Lines(path)
        return
    with _reporting(path):
        size = path.stat().st_size
    for first in range(0, size, at_most):
        yield Lines(path, first, min(first + at_most, size))


def begins_with_a_value(path: Path) -> bool:
    """Tell whether the first line of a file is a JSON document by itself.

    Raises:
        ConfigError: the file cannot be read.
    """
    with _reporting(path), opener_of(path)(path) as file:
        line = file.readline(_LONGEST_LINE)
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def opener_of(path: Path) -> Open:
    """Tell by its name how a file is opened."""
    return _OPENERS.get(path.suffix.lower(), _plain)


def _begin(file: io.BufferedIOBase, first: int) -> int:
    """Go to the first line that begins at `first` or later."""
    if first == 0:
        return 0
    file.seek(first - 1)
    return first - 1 + len(file.readline(_LONGEST_LINE))


def _plain(path: Path) -> io.BufferedIOBase:
    return path.open("rb")


def _gzip(path: Path) -> io.BufferedIOBase:
    return io.BufferedReader(gzip.open(path, "rb"), _BLOCK)


def _zstd(path: Path) -> io.BufferedIOBase:
    stream: io.BufferedIOBase = needed(_ZSTD).open(path, "rb")
    return stream


_OPENERS: Final[dict[str, Open]] = {".gz": _gzip, ".zst": _zstd, ".zstd": _zstd}


def _damages(path: Path) -> tuple[type[Exception], ...]:
    damage: type[Exception] = needed(_ZSTD).ZstdError if opener_of(path) is _zstd else zlib.error
    return (EOFError, damage)


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise ConfigError(f"{path}: {said}: name a file that can be read") from error
    except _damages(path) as error:
        raise ConfigError(f"{path}: cut off or damaged ({error}): make it again") from error
