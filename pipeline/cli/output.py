"""How commands print: a table for a person, JSON for a program."""

import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

_PIPE_WIDTH: Final = 240
"""A pipe has no edge at which a cell would have to be cut."""


class Output(StrEnum):
    """Who reads it."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", help="table for a person, json for a program")
]


def print_json(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, as wide as the terminal allows."""
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)
