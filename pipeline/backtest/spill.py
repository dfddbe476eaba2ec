"""Facts on the disk, by tenant: what is judged together lies together, and memory stays small."""

import pickle
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline.core.errors import MasswatchError
from pipeline.core.model import (
    Actor,
    App,
    Assignment,
    Behavior,
    Fact,
    GraphRequest,
    Position,
    Risk,
)

BUCKETS: Final = 64
"""Groups of tenants; one of them at a time is in the memory of a process."""

_HELD_AT_MOST: Final = 20_000


class Sighting(NamedTuple):
    """A fact, where it was seen, and when that record was appended (milliseconds)."""

    fact: Fact
    position: Position
    appended_at: int | None


class Spill:
    """Writes facts into a folder that nobody else writes to under this name.

    Args:
        folder: Where.
        name: Of the writer; each writer has its own.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._held: dict[tuple[int, int], list[Sighting]] = defaultdict(list)
        self._count = 0

    def add(self, reading: int, sightings: Iterable[Sighting]) -> None:
        """Keep facts of a reading."""
        for one in sightings:
            self._held[reading, bucket_of(one.fact.tenant_id)].append(one)
            self._count += 1
        if self._count > _HELD_AT_MOST:
            self.flush()

    def flush(self) -> None:
        """Write what is held.

        Raises:
            MasswatchError: there is no room for it.
        """
        try:
            self._write()
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            raise MasswatchError(
                f"{self._folder}: {said}: make room for the facts, or set TMPDIR"
            ) from error
        self._held.clear()
        self._count = 0

    def _write(self) -> None:
        for (reading, bucket), sightings in self._held.items():
            place = _place(self._folder, reading, bucket)
            place.mkdir(parents=True, exist_ok=True)
            with (place / self._name).open("ab") as file:
                pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
                pickler.dispatch_table = _AS_CALLS
                pickler.dump(sightings)


def bucket_of(tenant_id: str) -> int:
    """Return the bucket of a tenant: the same in every process."""
    return zlib.crc32(tenant_id.encode("utf-8", "surrogatepass")) % BUCKETS


def spilled(folder: Path, reading: int, bucket: int) -> Iterator[Sighting]:
    """Yield what all writers have written into a bucket."""
    for path in sorted(_place(folder, reading, bucket).glob("*")):
        with path.open("rb") as file:
            size = path.stat().st_size
            while file.tell() < size:
                yield from pickle.load(file)  # noqa: S301 - our own, in a folder that is ours alone


def spilled_bytes(folder: Path, bucket: int) -> int:
    """Return how much lies in a bucket, of all readings."""
    return sum(path.stat().st_size for path in folder.glob(f"*/{bucket}/*"))


_Call = tuple[Callable[..., Any], tuple[Any, ...]]


def _as_call(kind: type[Any]) -> Callable[[Any], _Call]:
    values = attrgetter(*(field.name for field in fields(kind)))
    return lambda part: (kind, values(part))


_AS_CALLS: Final[dict[type, Callable[[Any], Any]]] = {
    kind: _as_call(kind)
    for kind in (Actor, App, Assignment, Behavior, GraphRequest, Position, Risk)
}
"""How facts are written: by themselves, dataclasses look their fields up each time, both ways."""


def _place(folder: Path, reading: int, bucket: int) -> Path:
    return folder / str(reading) / str(bucket)
