"""The command line: parse, call, print, exit code."""

import sys
from collections.abc import Sequence

import typer

from pipeline.cli import (
    backtest,
    demo,
    dev,
    dlq,
    doctor,
    policy,
    rebuild,
    replay,
    settings,
    simulate,
    topics,
    why,
    worker,
)
from pipeline.core.errors import (
    BrokerRefuses,
    ConfigError,
    MasswatchError,
    StoreRefuses,
    Unreachable,
)

HOLDS_NOT, WRONG_CONFIGURATION, NOT_REACHABLE = 1, 3, 4  # 2, wrong usage, is typer's own

app = typer.Typer(
    name="masswatch",
    help="Tell, within a second and for thousands of tenants, that a risky admin is pushing an "
    "app to everybody through Microsoft Intune (MITRE ATT&CK T1072).",
    epilog="Exit codes: 0 done, 1 ran and something did not hold, 2 wrong usage, 3 wrong "
    "configuration, 4 broker or store not reachable, 130 stopped by Ctrl-C.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("worker")(worker.worker)
app.add_typer(topics.app, name="topics")
app.add_typer(policy.app, name="policy")
app.command("simulate")(simulate.simulate)
app.command("backtest")(backtest.backtest)
app.command("why")(why.why)
app.command("rebuild")(rebuild.rebuild)
app.command("replay")(replay.replay)
app.add_typer(dlq.app, name="dlq")
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.add_typer(dev.app, name="dev")
app.command("settings")(settings.show)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Without the program's name; None: those of this process.

    Returns:
        The exit code.
    """
    try:
        app(args=arguments)
    except MasswatchError as error:
        sys.stderr.write(f"{error}\n")
        return _exit_code(error)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else HOLDS_NOT
    return 0


def _exit_code(error: MasswatchError) -> int:
    match error:
        case ConfigError() | BrokerRefuses() | StoreRefuses():
            return WRONG_CONFIGURATION
        case Unreachable():
            return NOT_REACHABLE
        case _:
            return HOLDS_NOT
