"""`masswatch policy diff`: what a new policy would add, change and withdraw."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pipeline.backtest.judging import Question
from pipeline.backtest.result import Backtest, Change
from pipeline.cli.backtest import print_differences
from pipeline.cli.output import Output, OutputOption, print_json
from pipeline.cli.slicing import (
    MEMORY_MIB,
    PROCESSES,
    FilesOption,
    FromOption,
    LateOption,
    MemoryOption,
    ProcessesOption,
    TenantOption,
    ToOption,
    bounds,
    judged,
    named_policies,
)
from pipeline.config import load_settings
from pipeline.policy_notes import unknown_until_rebuilt
from pipeline.report.document import document_of


def diff(
    new: Annotated[Path, typer.Argument(help="policy file, as it may become")],
    old: Annotated[
        Path | None,
        typer.Option(help="policy file as it is; without it that of MASSWATCH_POLICY_FILE"),
    ] = None,
    files: FilesOption = None,
    since: FromOption = None,
    until: ToOption = None,
    tenants: TenantOption = None,
    late_at_most: LateOption = None,
    processes: ProcessesOption = PROCESSES,
    memory: MemoryOption = MEMORY_MIB,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what a new policy would add, change and withdraw, and which settings decide.

    Both policies judge one scan of the source topics, or of files, as `masswatch backtest` does.
    Nothing is written. To put the new policy in force, replace the file and send the workers
    SIGHUP.

    Examples:
      masswatch policy diff next.toml --from 2026-09-01
      masswatch policy diff next.toml --old now.toml --files quarter/
    """
    first, end = bounds(since, until)
    policies = named_policies([old or load_settings().policy_file, new])
    found = judged(
        files or (),
        Question(policies, first, end),
        tenants=tenants or (),
        late_at_most=late_at_most,
        processes=processes,
        memory_mib=memory,
    )
    if output is Output.JSON:
        print_json(document_of(found))
        return
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if unknown := unknown_until_rebuilt(policies[0].policy, policies[1].policy):
        typer.echo(
            f"warning: {', '.join(unknown)}: live needs `masswatch rebuild` for it", err=True
        )
    before, after = found.answers
    [differences] = found.differences
    print_differences(before, after, differences)
    typer.echo(_sums(found))


def _sums(found: Backtest) -> str:
    changes = Counter(one.change for one in found.differences[0])
    return (
        f"\n{changes[Change.NEW]} added, {changes[Change.CHANGED]} changed, "
        f"{changes[Change.GONE]} withdrawn; "
        f"{len(found.answers[0].alerts):,} alerts become {len(found.answers[1].alerts):,}"
    )
