"""Records from JSON Lines files, one value of a source topic a line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.core.model import Fact, Position
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored, Malformed
from pipeline.sources.sieve import Sieve


@dataclass(slots=True)
class Scan:
    """What files hold; `malformed` names line (the offset) and index of each with its reason."""

    values: int = 0
    opened: int = 0
    records: int = 0
    facts: set[Fact] = field(default_factory=set)
    malformed: list[tuple[Position, str]] = field(default_factory=list)


def scan(paths: Sequence[Path], sieve: Sieve, decode: Decoder) -> Scan:
    """Read all facts from files, through the sieve and the decoder of the live worker.

    Raises:
        ConfigError: a file cannot be read.
    """
    found = Scan()
    for path in paths:
        for number, value in _lines(path):
            found.values += 1
            if sieve.admits(value):
                found.opened += 1
                _open(value, Position(path.name, 0, number), decode, found)
    return found


def _open(value: bytes, where: Position, decode: Decoder, found: Scan) -> None:
    for record in decode(value):
        found.records += 1
        match record.decoded:
            case Ignored():
                pass
            case Malformed(reason):
                position = Position(where.topic, where.partition, where.offset, record.index)
                found.malformed.append((position, reason))
            case fact:
                found.facts.add(fact)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file):
                if value := line.rstrip(b"\n"):
                    yield number, value
    except OSError as error:
        raise ConfigError(
            f"{path}: {(error.strerror or str(error)).lower()}: name a file"
        ) from error
