"""How commands print: a table for a person, JSON for a program."""

import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH: Final = 240
"""A pipe has no edge at which a cell would have to be cut."""


class Output(StrEnum):
    """Who reads it."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", help="table for a person, json for a program")
]


def visible(text: str) -> str:
    """Escape what a terminal would obey: whoever names an app must not paint over a verdict."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def print_json(value: object) -> None:
    """Print one JSON document, with what a terminal would obey as JSON's escapes."""
    lines = json.dumps(value, indent=2, ensure_ascii=False).split("\n")
    sys.stdout.write("\n".join(map(_escaped, lines)) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, as wide as the terminal allows."""
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        # Not as markup, of which names may hold anything, and with nothing that a terminal obeys.
        table.add_row(*(Text(visible(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def _escaped(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in line)
