"""The command line: parse, call, print, exit code."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import typer

from pipeline.core.errors import (
    BrokerRefuses,
    ConfigError,
    MasswatchError,
    StoreRefuses,
    Unreachable,
)

HOLDS_NOT, WRONG_CONFIGURATION, NOT_REACHABLE = 1, 3, 4  # 2, wrong usage, is typer's own

_COMMANDS: Final = {
    "worker": "worker",
    "topics": "app",
    "policy": "app",
    "simulate": "simulate",
    "backtest": "backtest",
    "why": "why",
    "rebuild": "rebuild",
    "replay": "replay",
    "dlq": "app",
    "doctor": "doctor",
    "demo": "demo",
    "dev": "app",
    "settings": "show",
}
"""Every command, in the order of the help: what it is in the module of its name."""


def command_line(asked: str | None = None) -> typer.Typer:
    """Make the command line.

    Args:
        asked: The command that is to be run: the modules of the others, which take a second to
            import, are left alone. Of no known command, or None: all are there.
    """
    app = typer.Typer(
        name="masswatch",
        help="Tell, within a second and for thousands of tenants, that a risky admin is pushing "
        "an app to everybody through Microsoft Intune (MITRE ATT&CK T1072).",
        epilog="Exit codes: 0 done, 1 ran and something did not hold, 2 wrong usage, 3 wrong "
        "configuration, or not let in, 4 broker or store not reachable, 130 stopped by Ctrl-C.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    app.callback()(_nothing_before_a_command)
    for name in [asked] if asked in _COMMANDS else _COMMANDS:
        command = getattr(import_module(f"pipeline.cli.{name}"), _COMMANDS[str(name)])
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Without the program's name; None: those of this process.

    Returns:
        The exit code.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        command_line(next(iter(given), None))(args=given)
    except MasswatchError as error:
        sys.stderr.write(f"{error}\n")
        return _exit_code(error)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else HOLDS_NOT
    return 0


def _nothing_before_a_command() -> None:
    """Typer makes a single command the whole command line, unless it has this."""


def _exit_code(error: MasswatchError) -> int:
    match error:
        case ConfigError() | BrokerRefuses() | StoreRefuses():
            return WRONG_CONFIGURATION
        case Unreachable():
            return NOT_REACHABLE
        case _:
            return HOLDS_NOT
