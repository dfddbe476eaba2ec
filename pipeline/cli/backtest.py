"""`masswatch backtest`: what policies say of the past, from topics or files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.adapters.alert_codec import without_arrival
from pipeline.adapters.alert_reader import AlertReader
from pipeline.backtest.compare import LiveDifference, live_differences
from pipeline.backtest.expectations import Checked, check, load_expectations
from pipeline.backtest.judging import Question
from pipeline.backtest.junit import write_junit
from pipeline.backtest.result import Answer, Backtest, Difference, Judged
from pipeline.cli.output import Output, OutputOption, print_json, print_table
from pipeline.cli.slicing import (
    MEMORY_MIB,
    PROCESSES,
    FilesArgument,
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
from pipeline.core.event_time import format_event_time, parse_event_time
from pipeline.extra import needed
from pipeline.report.document import document_of, published
from pipeline.report.figures import Figures, figures_of
from pipeline.report.page import write_page

_LIVE = "live"


def backtest(
    files: FilesArgument = None,
    files_too: FilesOption = None,
    since: FromOption = None,
    until: ToOption = None,
    tenants: TenantOption = None,
    policies: Annotated[
        list[Path] | None,
        typer.Option(
            "--policy",
            help="policy file; repeated, the first is compared with each later one; without it "
            "that of MASSWATCH_POLICY_FILE, else the defaults",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="live: compare with what stands on masswatch.alerts.v1"),
    ] = None,
    expect: Annotated[
        Path | None, typer.Option(help="TOML file of what must come of it: see the README")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="write here how the expectations fared, as JUnit XML")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="write here a page that needs no network to be read")
    ] = None,
    late_at_most: LateOption = None,
    processes: ProcessesOption = PROCESSES,
    memory: MemoryOption = MEMORY_MIB,
    positions: Annotated[
        bool, typer.Option("--positions", help="say in the JSON where the records lie")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Judge the past: what would have been alerted, and what if the policy were another.

    The same sieve, decoder and core as the live worker run over a bounded slice of the source
    topics, or over files, so the answer is what live says of the same records. It does not depend
    on their order, on the partitions or on --processes. Nothing is written to Kafka or Redis, and
    no consumer group is joined.

    Exit code 1: an expectation does not hold, or --against live differs.

    Examples:
      masswatch backtest --from 2026-07-01 --to 2026-10-01 --html quarter.html
      masswatch backtest day/*.jsonl.zst --policy now.toml --policy next.toml
      masswatch backtest --from 2026-09-01 --against live
      masswatch backtest day --expect expected.toml --junit report.xml
    """
    if against not in (None, _LIVE):
        raise typer.BadParameter(f'"{against}": only "{_LIVE}"', param_hint="--against")
    if junit is not None and expect is None:
        raise typer.BadParameter("needs --expect", param_hint="--junit")
    _check_target(html, "--html", "jinja2", "vl_convert")
    _check_target(junit, "--junit", "junitparser")
    first, end = bounds(since, until)
    wanted = load_expectations(expect) if expect is not None else ()
    question = Question(named_policies(policies or [load_settings().policy_file]), first, end)
    found = judged(
        [*(files or ()), *(files_too or ())],
        question,
        tenants=tenants or (),
        late_at_most=late_at_most,
        processes=processes,
        memory_mib=memory,
    )
    checked = {
        answer.by.name: check(wanted, [one.verdict for one in answer.alerts])
        for answer in found.answers
        if wanted
    }
    live = _against_live(found, question, tenants or ()) if against else None
    if html is not None:
        write_page(html, found)
    if junit is not None:
        write_junit(junit, checked)
    if output is Output.JSON:
        document = document_of(found, positions=positions)
        print_json(document | _checks_document(checked) | _live_document(live))
    else:
        _print(found, checked, live)
    if live or any(not one.holds for of in checked.values() for one in of):
        raise typer.Exit(1)


def _check_target(path: Path | None, option: str, *libraries: str) -> None:
    """See before the scan that what comes of it can be written.

    Raises:
        ConfigError: a library is not installed.
        BadParameter: there is no such folder.
    """
    if path is None:
        return
    for one in libraries:
        needed(one)
    if path.is_dir() or not path.parent.is_dir():
        raise typer.BadParameter(f"{path}: name a file in a folder that exists", param_hint=option)


def _against_live(
    found: Backtest, question: Question, tenants: Sequence[str]
) -> Sequence[LiveDifference]:
    """Compare the first policy's alerts with the last revisions on the alerts topic."""
    wanted = {one.lower() for one in tenants}
    last: dict[str, Any] = {}
    with AlertReader(load_settings().kafka.client()) as reader:
        for alert in reader.to_the_end():
            event_time = parse_event_time(alert.event_time)
            if event_time is None or not question.is_about(event_time):
                continue
            if not wanted or alert.tenant_id in wanted:
                last[alert.alert_id] = without_arrival(alert.model_dump(mode="json"))
    ours = {one.verdict.alert_id: published(one) for one in found.answers[0].alerts}
    return live_differences(ours, last)


def _print(
    found: Backtest,
    checked: Mapping[str, Sequence[Checked]],
    live: Sequence[LiveDifference] | None,
) -> None:
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    _print_alerts(found.answers[0])
    _print_figures(found)
    for after, differences in zip(found.answers[1:], found.differences, strict=True):
        print_differences(found.answers[0], after, differences)
    for name, of_policy in checked.items():
        typer.echo(f"\nexpectations, by {name}:")
        print_table(
            ("holds", "name", "what"),
            [("yes" if one.holds else "NO", one.expectation.name, one.says) for one in of_policy],
        )
    if live is not None:
        typer.echo(
            f"\nagainst live: {len(live)} alerts differ" if live else "\nagainst live: equal"
        )
        if live:
            print_table(
                ("kind", "alert", "tenant", "event", "fields"),
                [
                    (
                        one.kind,
                        one.alert_id,
                        one.tenant_id,
                        one.audit_event_id,
                        ", ".join(one.fields),
                    )
                    for one in live
                ],
            )
    typer.echo("\n" + _sums(found))


def _print_figures(found: Backtest) -> None:
    """Print what a provider has to expect, by tenant, and what allow-list entries took away."""
    figures = figures_of(found, found.answers[0])
    if figures.days is None:
        return
    noise = figures.noise
    typer.echo(
        f"\n{figures.days.count} days from {figures.days.first}: alerts a day, all tenants: "
        f"p50 {noise.p50}, p95 {noise.p95}, most {noise.most}; {_decided(figures)}"
    )
    print_table(
        ("tenant", "alerts", "withheld", "p50 a day", "p95 a day"),
        [
            (
                one.tenant_id,
                str(one.alerts),
                str(one.withheld),
                str(one.noise.p50),
                str(one.noise.p95),
            )
            for one in figures.by_tenant
        ],
    )
    if figures.allow_list:
        typer.echo("")
        print_table(
            ("allow-list entry", "withheld", "alerts that lost a reason"),
            [(one.name, str(one.withheld), str(one.weakened)) for one in figures.allow_list],
        )


def _decided(figures: Figures) -> str:
    counts = ", ".join(f"{one.name} {one.alerts}" for one in figures.decided if one.alerts)
    return f"evidence that decided came {counts or 'never'}"


def _print_alerts(answer: Answer) -> None:
    print_table(
        ("time", "severity", "tenant", "who", "what", "why"),
        [_row(one) for one in answer.alerts],
    )


def _row(one: Judged) -> tuple[str, ...]:
    verdict = one.verdict
    return (
        format_event_time(verdict.event_time)[:19],
        verdict.severity,
        verdict.assignment.tenant_id,
        verdict.assignment.identity,
        verdict.assignment.app.name,
        ", ".join(verdict.reasons),
    )


def print_differences(before: Answer, after: Answer, differences: Sequence[Difference]) -> None:
    """Print in what two answers differ."""
    typer.echo(f"\n{before.by.name} → {after.by.name}: {len(differences)} alerts differ")
    if differences:
        print_table(
            ("change", "time", "tenant", "who", "event", "because of"),
            [
                (
                    one.change.value,
                    format_event_time(one.after.event_time)[:19],
                    one.of.tenant_id,
                    one.after.assignment.identity,
                    one.of.audit_event_id,
                    ", ".join(one.causes),
                )
                for one in differences
            ],
        )


def _sums(found: Backtest) -> str:
    read = found.read
    malformed = sum(one.records for one in read.malformed)
    said = "; ".join(
        f"{answer.by.name}: {len(answer.alerts):,} alerts, {len(answer.withheld):,} withheld, "
        f"{answer.quiet:,} quiet"
        for answer in found.answers
    )
    return (
        f"{read.values:,} values, {read.opened:,} opened, {read.records:,} records in them, "
        f"{malformed:,} malformed. {said}"
    )


def _checks_document(checked: Mapping[str, Sequence[Checked]]) -> dict[str, object]:
    if not checked:
        return {}
    return {
        "expectations": [
            {
                "policy": policy,
                "name": one.expectation.name,
                "holds": one.holds,
                "found": one.found,
                "says": one.says,
            }
            for policy, of_policy in checked.items()
            for one in of_policy
        ]
    }


def _live_document(live: Sequence[LiveDifference] | None) -> dict[str, object]:
    if live is None:
        return {}
    return {
        "live": [
            {"kind": one.kind, "alert_id": one.alert_id, "tenant_id": one.tenant_id}
            | {"audit_event_id": one.audit_event_id, "fields": list(one.fields)}
            for one in live
        ]
    }
