"""`masswatch backtest`: what a batch evaluation says of files."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.backtest.batch import judge
from pipeline.backtest.files import scan
from pipeline.cli.output import Output, OutputOption, print_json, print_table
from pipeline.core.event_time import format_event_time
from pipeline.core.verdict import Outcome, Verdict
from pipeline.policy_file import load_policy
from pipeline.sources.decode import Decoder
from pipeline.sources.sieve import Sieve


def backtest(
    files: Annotated[
        list[Path], typer.Argument(help="JSON Lines: one value of a source topic a line")
    ],
    policy: Annotated[
        Path | None,
        typer.Option(
            help="policy file; without it the defaults hold", envvar="MASSWATCH_POLICY_FILE"
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Judge the records of files as a batch and print the alerts.

    The same sieve, decoder and core as the live worker run over all of the records at once, so
    the answer does not depend on their order. Tables may be mixed in a file. Nothing is written
    to Kafka or Redis.
    """
    with_policy = load_policy(policy)
    found = scan(
        files,
        Sieve(with_policy.matching),
        Decoder(with_policy.matching, with_policy.workspaces),
    )
    verdicts = judge(found.facts, with_policy).values()
    alerts = sorted(
        (one for one in verdicts if one.outcome is Outcome.ALERT),
        key=lambda one: (one.event_time, one.alert_id),
    )
    if output is Output.JSON:
        print_json(
            {
                "values": found.values,
                "opened": found.opened,
                "records": found.records,
                "malformed": [
                    {"position": str(position), "reason": reason}
                    for position, reason in found.malformed
                ],
                "alerts": [_summary(one) for one in alerts],
            }
        )
        return
    print_table(
        ("time", "severity", "tenant", "who", "what", "why"),
        [
            (
                format_event_time(one.event_time)[:19],
                one.severity,
                one.assignment.tenant_id,
                one.assignment.identity,
                one.assignment.app.name,
                ", ".join(one.reasons),
            )
            for one in alerts
        ],
    )
    typer.echo(
        f"{found.values} values, {found.opened} opened, {found.records} records in them, "
        f"{len(found.malformed)} malformed, {len(alerts)} alerts"
    )


def _summary(verdict: Verdict) -> dict[str, object]:
    return {
        "alert_id": verdict.alert_id,
        "tenant_id": verdict.assignment.tenant_id,
        "audit_event_id": verdict.assignment.audit_event_id,
        "event_time": format_event_time(verdict.event_time),
        "severity": verdict.severity,
        "reasons": list(verdict.reasons),
        "digest": verdict.digest,
    }
