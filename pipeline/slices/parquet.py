"""Parquet files: a table's rows, or values as Kafka has them in a column `value`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from pipeline.core.errors import ConfigError
from pipeline.core.model import Position
from pipeline.extra import needed
from pipeline.ports import Candidate, Sieve, Spots
from pipeline.slices.shard import Chunk

VALUE: Final = "value"
_ROWS_AT_ONCE: Final = 4096
_PAST_100_NS: Final = re.compile(r"(\.\d{7})\d+")


@dataclass(frozen=True, slots=True)
class RowGroups:
    """Some row groups of a Parquet file; a position in it is its name and the row.

    A file with a column `value` holds values as they lie in a source topic; any other holds rows
    of a table, and each row becomes the JSON object that an export of it would be.
    """

    path: Path
    groups: tuple[int, ...]
    first_row: int
    units: int

    def chunks(self, sieve: Sieve | None = None) -> Iterator[Chunk]:  # noqa: ARG002 - all are here
        """Yield the rows, many at once.

        Raises:
            ConfigError: the file cannot be read.
        """
        row = self.first_row
        with _opened(self.path) as file:
            share = self.units / max(1, len(self.groups))
            for group in self.groups:
                rows = file.metadata.row_group(group).num_rows
                for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group]):
                    values = _values(batch)
                    yield _Rows(str(self.path), row, values, round(share * len(values) / rows))
                    row += len(values)


class _Rows:
    """Rows that lie together, as JSON."""

    def __init__(self, name: str, first: int, values: list[bytes | None], units: int) -> None:
        self._name = name
        self._first = first
        self._values = values
        self._units = units

    def __len__(self) -> int:
        return len(self._values)

    @property
    def units(self) -> int:
        return self._units

    def candidates(self, sieve: Spots) -> Iterator[Candidate]:
        return (one for one in self if one.value is not None and sieve.spots(one.value))

    def __iter__(self) -> Iterator[Candidate]:
        for row, value in enumerate(self._values, self._first):
            yield Candidate(Position(self._name, 0, row), value)


def row_groups_of(path: Path, at_most: int) -> Iterator[RowGroups]:
    """Yield a file in parts of about so many bytes.

    Raises:
        ConfigError: the file cannot be read, or pyarrow is not installed.
    """
    with _opened(path) as file:
        sizes = [
            (file.metadata.row_group(one).num_rows, file.metadata.row_group(one).total_byte_size)
            for one in range(file.metadata.num_row_groups)
        ]
    row, begin = 0, 0
    while begin < len(sizes):
        end, size = begin + 1, sizes[begin][1]
        while end < len(sizes) and size + sizes[end][1] <= at_most:
            size += sizes[end][1]
            end += 1
        yield RowGroups(path, tuple(range(begin, end)), row, size)
        row += sum(rows for rows, _ in sizes[begin:end])
        begin = end


def _values(batch: Any) -> list[bytes | None]:
    names = batch.schema.names
    if len(set(names)) < len(names):
        raise ValueError("two columns of one name")
    if VALUE in names and _is_text(batch.column(VALUE).type):
        return [_bytes_of(value) for value in batch.column(VALUE).to_pylist()]
    columns = [_plain(column) for column in batch.columns]
    return [
        orjson.dumps(dict(zip(names, row, strict=True)), default=_as_json)
        for row in zip(*columns, strict=True)
    ]


def _is_text(kind: Any) -> bool:
    types = needed("pyarrow").types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        is_it(kind)
        for is_it in (
            *(types.is_string, types.is_large_string, types.is_string_view),
            *(types.is_binary, types.is_large_binary, types.is_binary_view),
        )
    )


def _as_json(value: object) -> object:
    """Write what JSON has no word for: bytes, which some writers use for text, and numbers.

    Raises:
        TypeError: there is no text for it.
    """
    match value:
        case bytes():
            return value.decode()
        case Decimal():
            return str(value)
        case timedelta():
            return str(value)
        case _:
            raise TypeError(f"no JSON for {type(value).__name__}")


def _bytes_of(value: object) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return value if isinstance(value, bytes) else None


def _plain(column: Any) -> list[object]:
    """Return a column as JSON has it: times as text of 100 ns, which a datetime cannot hold."""
    arrow, compute = needed("pyarrow"), needed("pyarrow.compute")
    if not arrow.types.is_timestamp(column.type):
        values: list[object] = column.to_pylist()
        return values
    texts = compute.strftime(column.cast(arrow.timestamp(column.type.unit)), "%Y-%m-%dT%H:%M:%SZ")
    return [None if text is None else _PAST_100_NS.sub(r"\1", text) for text in texts.to_pylist()]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    arrow, parquet = needed("pyarrow"), needed("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    # A JSON encode error is a TypeError, an undecodable text a ValueError, as Arrow's own are.
    except (arrow.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ConfigError(f"{path}: not to be read as Parquet ({said}): make it again") from error
