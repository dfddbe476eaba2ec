"""The command line: parse, call, print, exit code."""

import sys
from collections.abc import Sequence

import click
import typer

from pipeline.cli import backtest, settings
from pipeline.core.errors import ConfigError, MasswatchError, Unreachable

HOLDS_NOT, WRONG_USAGE, WRONG_CONFIGURATION, NOT_REACHABLE = 1, 2, 3, 4

app = typer.Typer(
    name="masswatch",
    help="Tell, within a second and for thousands of tenants, that a risky admin is pushing an "
    "app to everybody through Microsoft Intune (MITRE ATT&CK T1072).",
    epilog="Exit codes: 0 done, 1 ran and something did not hold, 2 wrong usage, 3 wrong "
    "configuration, 4 broker or store not reachable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("settings")(settings.show)
app.command("backtest")(backtest.backtest)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Without the program's name; None: those of this process.

    Returns:
        The exit code.
    """
    try:
        returned = app(args=arguments, standalone_mode=False)
    except MasswatchError as error:
        sys.stderr.write(f"{error}\n")
        return _exit_code(error)
    except click.ClickException as error:
        error.show()
        return WRONG_USAGE
    except (click.Abort, KeyboardInterrupt):
        return 130
    return returned if isinstance(returned, int) else 0


def _exit_code(error: MasswatchError) -> int:
    match error:
        case ConfigError():
            return WRONG_CONFIGURATION
        case Unreachable():
            return NOT_REACHABLE
        case _:
            return HOLDS_NOT
