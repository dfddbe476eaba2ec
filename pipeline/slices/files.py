"""Files as shards: which of them there are, and how each is read."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from pipeline.core.errors import ConfigError
from pipeline.slices.lines import begins_with_a_value, lines_of
from pipeline.slices.parquet import row_groups_of
from pipeline.slices.shard import Shard

PART_BYTES: Final = 64 * 1024 * 1024
"""A part of a file that one process scans at a time."""

_PARQUET: Final = ".parquet"
_MAY_BE_LINES: Final = ".json"
"""Azure's storage accounts call JSON Lines so; others, one document over many lines."""

_KNOWN: Final = (".jsonl", ".ndjson", _MAY_BE_LINES, _PARQUET)
_COMPRESSED: Final = (".gz", ".zst", ".zstd")


_FORMS: Final[dict[bytes, tuple[str, tuple[str, ...]]]] = {
    b"\x1f\x8b": ("gzip", (".gz",)),
    b"\x28\xb5\x2f\xfd": ("zstd", (".zst", ".zstd")),
    b"PAR1": ("Parquet", (_PARQUET,)),
    b"BZh": ("bzip2", ()),
    b"\xfd7zXZ": ("xz", ()),
    b"PK\x03\x04": ("zip", ()),
    b"\xff\xfe": ("UTF-16", ()),
    b"\xfe\xff": ("UTF-16", ()),
}
_REMEDIES: Final = {
    "gzip": "call it .gz",
    "zstd": "call it .zst",
    "Parquet": "call it .parquet",
    "bzip2": "unpack it",
    "xz": "unpack it",
    "zip": "unpack it",
    "UTF-16": "convert it to UTF-8",
}


def files_in(paths: Sequence[Path]) -> list[Path]:
    """Return the files named, and those in the folders named, each once.

    Raises:
        ConfigError: something is not there, or a folder has no file of a known name.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.is_file() and _is_known(one))
            if not inside:
                raise ConfigError(f"{path}: no {', '.join(_KNOWN)} in it: name files or a folder")
            found.update(dict.fromkeys(inside))
        elif path.is_file():
            found[path] = None
        elif path.exists():
            raise ConfigError(f"{path}: no file, but a pipe or device: write it to a file first")
        else:
            raise ConfigError(f"{path}: no such file: name a file or a folder")
    return list(found)


def shards_of(files: Sequence[Path], part_bytes: int = PART_BYTES) -> Iterator[Shard]:
    """Cut files into shards.

    Raises:
        ConfigError: a file cannot be read.
    """
    cut: Callable[[Path, int], Iterator[Shard]]
    for path in files:
        _check_form(path)
        cut = row_groups_of if path.suffix.lower() == _PARQUET else lines_of
        yield from cut(path, part_bytes)


def _check_form(path: Path) -> None:
    """See that a file is what its name says: read as another it would look empty.

    Raises:
        ConfigError: it is not.
    """
    suffix = path.suffix.lower()
    if suffix in _COMPRESSED and Path(path.stem).suffix.lower() == _PARQUET:
        raise ConfigError(f"{path}: Parquet in an archive: unpack it")
    try:
        with path.open("rb") as file:
            beginning = file.read(64)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise ConfigError(f"{path}: {said}: name a file that can be read") from error
    for magic, (what, suffixes) in _FORMS.items():
        if beginning.startswith(magic) and suffix not in suffixes:
            raise ConfigError(f"{path}: holds {what}: {_REMEDIES[what]}")


def _is_known(path: Path) -> bool:
    suffixes = [one.lower() for one in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in _KNOWN:
        return False
    return suffixes[-1] != _MAY_BE_LINES or begins_with_a_value(path)
