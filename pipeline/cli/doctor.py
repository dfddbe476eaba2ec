"""`masswatch doctor`: every dependency and setting, what is wrong and what to do."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Final

import typer

from pipeline.cli.output import Output, OutputOption, print_json, print_table
from pipeline.doctor.examination import examine
from pipeline.doctor.finding import Cause, Finding, Level, causes, counted, verdict
from pipeline.wiring import clock

_HOLDS_NOT: Final = 1
_CODES: Final = {Cause.SETTINGS: 3, Cause.AWAY: 4, Cause.STATE: _HOLDS_NOT}
"""The exit code by the cause of a fault; of several causes the first counts."""


def doctor(
    workers: Annotated[
        list[str] | None,
        typer.Option(
            "--worker",
            help="ask this worker, too: http://host:port; may be repeated; default: the one of "
            "MASSWATCH_HTTP__HOST and PORT, if it answers",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 1 for warnings, too")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Examine everything that workers need, and say what to do.

    Settings and policy, brokers, topics, groups, lag, dead letters, Redis and the facts in it,
    permissions, clocks, workers: all at once, side by side, in less than 15 seconds even when
    everything is away. Writes nothing anywhere, joins no group. Run it as the user of the workers:
    permissions are judged for that one.

    A fault stops alerts, loses records or will; a warning turns into one if it is left; a note
    wants a person's eye. What could not be learned is `not checked`, with the reason.

    Exit codes: 0 no fault; 1 a fault; 3 settings or policy are wrong, or a server refuses our
    user; 4 broker or store not reachable. Of several, 3 goes before 4, and 4 before 1.

    Examples:
    - `masswatch doctor`
    - `masswatch doctor --worker http://10.0.0.5:8080 --output json`
    """
    code = tell(examine(clock(), workers or ()), output, strict=strict)
    if code:
        raise typer.Exit(code)


def tell(findings: Sequence[Finding], output: Output, *, strict: bool) -> int:
    """Print findings, and return the exit code."""
    code = _code(findings, strict=strict)
    if output is Output.JSON:
        counts = counted(findings)
        print_json(
            {
                "verdict": verdict(findings),
                "exit_code": code,
                "counts": {str(level): counts[level] for level in Level},
                "findings": [_as_json(one) for one in findings],
            }
        )
    else:
        typer.echo(f"{verdict(findings)}\n")
        print_table(
            ("", "about", "where", "what", "what to do"),
            [(one.level, one.area, one.where, one.what, one.remedy) for one in findings],
        )
    return code


def _code(findings: Sequence[Finding], *, strict: bool) -> int:
    found = causes(findings)
    for cause, code in _CODES.items():
        if cause in found:
            return code
    return _HOLDS_NOT if strict and counted(findings)[Level.WARNING] else 0


def _as_json(finding: Finding) -> dict[str, object]:
    return {name: value for name, value in asdict(finding).items() if name != "cause"}
