"""`masswatch why`: why an audit event became an alert, or did not."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pipeline.backtest.judging import Question
from pipeline.backtest.result import NamedPolicy
from pipeline.backtest.slicing import slice_of_files, slice_of_topics
from pipeline.cli.output import Output, OutputOption, print_json
from pipeline.cli.slicing import (
    FilesOption,
    FromOption,
    LateOption,
    ToOption,
    bounds,
    watching,
)
from pipeline.cli.why_print import print_why
from pipeline.config import Settings, load_settings
from pipeline.core.model import AssignmentId
from pipeline.core.policy import Policy
from pipeline.policy_file import load_policy
from pipeline.slices.shard import Slice
from pipeline.why.actor_search import rows_of_actor
from pipeline.why.answer import LastOf, Why, answer, look_up
from pipeline.why.document import document_of
from pipeline.why.event_search import Found, search
from pipeline.why.last_revision import last_revision
from pipeline.wiring import fact_store


def why(
    tenant: Annotated[str, typer.Option(help="whose event it is")],
    event: Annotated[
        str, typer.Option(help="its AuditEventId, in any case, or the audit_event_id of an alert")
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="files or folders to search, of the kinds that `masswatch backtest` reads",
            show_default=False,
        ),
    ] = None,
    files_too: FilesOption = None,
    since: FromOption = None,
    until: ToOption = None,
    topics: Annotated[
        bool, typer.Option("--topics", help="read the source topics from their beginning")
    ] = False,
    late_at_most: LateOption = None,
    actor_rows: Annotated[
        bool,
        typer.Option(
            "--actor-rows",
            help="show also what other rows say of the actor that are never evidence (RiskLevel "
            "Low, another action type): reads files or topics once more",
        ),
    ] = False,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="policy file; without it that of MASSWATCH_POLICY_FILE, else the defaults"
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say why an audit event became an alert, or did not.

    Shows each condition of the rule and whether it holds, for each reason the evidence that
    counts and the near misses (out of the window and by how much, another name, another level),
    the allow-list entries that took a reason away or nearly did, the verdict, and where the
    records lie. It judges by the same code as the worker, and writes nothing anywhere.

    Without files and bounds it asks the live store, which keeps assignments and evidence alone.
    An event that is none, that failed or that nobody could read is found only in files or, with
    --from, --to or --topics, in the source topics. There it is found in any spelling.

    Exit codes: 0 explained, whatever the verdict; 1 the event is unknown there.

    Examples:
      masswatch why --tenant 7d1c2b9e-… --event b5b0d1c7-…
      masswatch why --tenant 7d1c2b9e-… --event b5b0d1c7-… --from 2026-03-01 --to 2026-03-04
      masswatch why --tenant 7d1c2b9e-… --event b5b0d1c7-… day/*.jsonl.zst --policy next.toml
    """
    paths = [*(files or ()), *(files_too or ())]
    first, end = bounds(since, until)
    is_of_topics = topics or first is not None or end is not None
    if paths and is_of_topics:
        raise typer.BadParameter("files are read whole: leave --from, --to and --topics out")
    if late_at_most is not None and end is None:
        raise typer.BadParameter("bounds nothing without --to", param_hint="--late-at-most")
    if actor_rows and not paths and not is_of_topics:
        raise typer.BadParameter(
            "the store has no such rows: name files, or ask the topics", param_hint="--actor-rows"
        )
    settings = load_settings()
    with_policy = load_policy(policy or settings.policy_file)
    asked = AssignmentId(tenant.strip().lower(), event.strip())
    of: Slice | None
    if paths:
        of = slice_of_files(paths, frozenset({asked.tenant_id}))
        found = _why_in(of, asked, with_policy)
    elif is_of_topics:
        question = Question((NamedPolicy("", with_policy),), first, end)
        of = _slice_of_topics(settings, question, asked.tenant_id, late_at_most)
        found = _why_in(of, asked, with_policy, _last_of(settings))
    else:
        of = None
        found = _why_live(asked, with_policy, settings)
    if actor_rows and of is not None and found.explanation is not None:
        with watching("searching for the actor") as watch:
            variants = found.explanation.verdict.variants
            rows = rows_of_actor(of, variants, with_policy, watch)
        found = replace(found, actor_rows=rows)
    if output is Output.JSON:
        print_json(document_of(found))
    elif found.records:
        print_why(found)
    else:
        _print_unknown(found, is_live=not paths and not is_of_topics)
    if not found.records:
        raise typer.Exit(1)


def _why_in(of: Slice, asked: AssignmentId, policy: Policy, last_of: LastOf | None = None) -> Why:
    for warning in of.warnings:
        typer.echo(f"warning: {warning}", err=True)
    with watching("searching") as watch:
        found = search(of, asked, policy, watch)
    return answer(asked, _listed(of.sources), found, policy, last_of)


def _last_of(settings: Settings) -> LastOf:
    client = settings.kafka.client()
    return lambda of: last_revision(client, of)


def _slice_of_topics(
    settings: Settings, question: Question, tenant_id: str, late_at_most: float | None
) -> Slice:
    return slice_of_topics(
        settings.kafka.client(),
        settings.kafka.sources.all,
        question,
        frozenset({tenant_id}),
        late_at_most=None if late_at_most is None else timedelta(days=late_at_most),
    )


def _why_live(asked: AssignmentId, policy: Policy, settings: Settings) -> Why:
    found = asyncio.run(_look_up(asked, policy, settings))
    return answer(asked, "the live store", found, policy, _last_of(settings), is_live=True)


async def _look_up(asked: AssignmentId, policy: Policy, settings: Settings) -> Found:
    store = fact_store(settings, policy)
    try:
        return await look_up(store, asked)
    finally:
        await store.close()


def _listed(sources: Sequence[str]) -> str:
    shown = ", ".join(sources[:4])
    return shown if len(sources) <= 4 else f"{shown} and {len(sources) - 4} more"


def _print_unknown(found: Why, *, is_live: bool) -> None:
    asked = found.asked
    typer.echo(f"event {asked.audit_event_id} of tenant {asked.tenant_id}: not in {found.place}")
    if is_live:
        typer.echo(
            "The store keeps assignments to everybody alone, for some weeks: the event is none, "
            "or older, or was not read yet, or the tenant or id is another. To see its record, "
            "ask the topics with --from and --to (or --topics), or name files."
        )
    else:
        typer.echo(
            "No record there states this AuditEventId, in any spelling: look at the id (an alert "
            "shows it as audit_event_id; it is not the CorrelationId), at --from and --to, and "
            "whether the records were deleted or never came."
        )
