"""`masswatch rebuild`: Redis from the topics, while workers run."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipeline.cli.output import Output, OutputOption, print_json, print_table
from pipeline.config import load_settings
from pipeline.log import set_up_logs
from pipeline.rebuild.rebuild import Progress as Reached
from pipeline.rebuild.rebuild import Rebuilt
from pipeline.rebuild.run import run_rebuild


def rebuild(
    if_needed: Annotated[
        bool,
        typer.Option(
            "--if-needed",
            help="do nothing when the facts are complete; wait for a rebuild that runs already",
        ),
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make the facts in Redis anew from the source topics, while workers run.

    Every record that was appended since facts are kept (the policy's windows and lateness, and
    three days more) is read into a namespace of its own. When that has caught up, it is put in
    force; workers wait with evaluations until the last records are in, which takes seconds, and
    then evaluate every assignment anew. The former namespace is deleted. Nothing is committed,
    and what is malformed is left to the workers.

    Workers do this by themselves when they find Redis empty, flushed, restarted or replaced. Run
    it when what is stored shall be another: after the source topics have been corrected, or for
    a new version that says so.

    Exit codes: 0 done, or nothing to do; 1 another rebuild has overtaken this one; 3 wrong
    configuration or missing topics; 4 broker or store not reachable: run it again.
    """
    settings = load_settings()
    set_up_logs(settings.log)
    with _progress() as report:
        rebuilt = run_rebuild(settings, report, if_needed=if_needed)
    if output is Output.JSON:
        print_json({"rebuilt": None if rebuilt is None else _rounded(rebuilt)})
    elif rebuilt is None:
        typer.echo("nothing to do: the facts are complete")
    else:
        print_table(
            ("namespace", "values", "facts", "assignments", "seconds", "evaluations held"),
            [
                (
                    rebuilt.namespace,
                    str(rebuilt.values),
                    str(rebuilt.facts),
                    str(rebuilt.assignments),
                    f"{rebuilt.seconds:.1f}",
                    f"{rebuilt.held_seconds:.1f}",
                )
            ],
        )


def _rounded(rebuilt: Rebuilt) -> dict[str, object]:
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in asdict(rebuilt).items()
    }


@contextmanager
def _progress() -> Iterator[Callable[[Reached], None]]:
    """Show a bar for each step to a person; a worker that runs us has no use for it."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]} facts"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        steps = {}

        def show(reached: Reached) -> None:
            if reached.step not in steps:
                steps[reached.step] = bars.add_task(reached.step, total=None, facts=0)
            bars.update(
                steps[reached.step],
                completed=reached.done,
                total=reached.total,
                facts=reached.facts,
            )

        yield show
