"""`masswatch policy`: whether a policy file is right, and what a person should look at in it."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import policy_diff
from pipeline.cli.output import Output, OutputOption, print_json, print_table
from pipeline.config import load_settings
from pipeline.core.policy import Policy
from pipeline.policy_file import load_policy
from pipeline.policy_notes import Note, notes_of
from pipeline.wiring import clock

app = typer.Typer(
    name="policy",
    help="The policy file (MASSWATCH_POLICY_FILE): whether it is right.\n\n"
    "A running worker reads it anew on SIGHUP, and keeps the former policy when it is wrong.",
    no_args_is_help=True,
)

_DEFAULTS = "the defaults"


@app.command("check")
def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="policy file; without it that of MASSWATCH_POLICY_FILE"),
    ] = None,
    within: Annotated[
        int, typer.Option(min=0, max=3650, help="days in which an entry expires that is noted")
    ] = 30,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 1 if anything is noted")] = (
        False
    ),
    output: OutputOption = Output.TABLE,
) -> None:
    """Check a policy file, all of it at once. Asks neither broker nor store.

    Errors, such as unknown keys and entries that overlap, are written to standard error, a line
    each, with exit code 3: no worker takes such a file. What is no error but wants a person's eye
    is noted: entries that have expired, expire soon, have not begun or take nothing, tenants that
    set nothing or are workspaces, windows narrower than the defaults.

    Examples:
    - `masswatch policy check next.toml`
    - `masswatch policy check --within 14 --strict`
    """
    path = file or load_settings().policy_file
    checked = load_policy(path)
    notes = notes_of(checked, clock(), timedelta(days=within))
    if output is Output.JSON:
        print_json(
            {
                "file": None if path is None else str(path),
                "digest": checked.digest,
                "entries": len(checked.allow_list),
                "notes": [asdict(note) for note in notes],
            }
        )
    else:
        _print(path, checked, notes)
    if strict and notes:
        raise typer.Exit(1)


app.command("diff")(policy_diff.diff)


def _print(path: Path | None, checked: Policy, notes: Sequence[Note]) -> None:
    if notes:
        print_table(
            ("kind", "where", "what", "remedy"),
            [(note.kind, note.where, note.what, note.remedy) for note in notes],
        )
        typer.echo("")
    typer.echo(
        f"{path or _DEFAULTS}: no errors, {_counted(notes, 'note')}, "
        f"{_counted(checked.allow_list, 'allow-list entry', 'allow-list entries')}, "
        f"digest {checked.digest}"
    )


def _counted(things: Sequence[object], one: str, many: str = "") -> str:
    return f"{len(things)} {one if len(things) == 1 else many or one + 's'}"
