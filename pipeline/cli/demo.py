"""`masswatch demo`: see it work, on this machine, in about a minute."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.cli.dev import given_addresses
from pipeline.core.verdict import Verdict
from pipeline.demo.play import Sums, play
from pipeline.demo.rig import Rig
from pipeline.localstack import Addresses, down, up
from pipeline.simulate.simulation import Plan, generate
from pipeline.simulate.story import Scene
from topics.alert import Alert
from topics.catalogue import ALERTS

FOLDER: Final = Path(".masswatch") / "demo"
_COLOURS: Final = {"informational": "white", "low": "yellow", "medium": "bold red", "high": "red"}


class OnTerminal:
    """Shows the demo as lines of a table, each alert in one, as it comes."""

    def __init__(self, names: dict[str, str]) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._names = names

    def act(self, title: str) -> None:
        """Head a part of the demo."""
        self._console.print(f"\n[bold cyan]{escape(title)}[/]")

    def note(self, text: str) -> None:
        """Say what happens."""
        self._console.print(f"  [dim]{escape(text)}[/]")

    def alert(self, alert: Alert) -> None:
        """Show an alert: how grave, whose, who did what, why, and from where."""
        colour = _COLOURS[alert.severity]
        tenant = self._names.get(alert.tenant_id, alert.tenant_id)
        ips = f"  from {', '.join(alert.ip_addresses)}" if alert.ip_addresses else ""
        cells = (
            f"{alert.severity:<8}",
            f"rev {alert.revision}",
            f"{tenant[:36]:<36}",
            f"{alert.actor.upn[:40]:<40}",
            f"{alert.assignment.app.name[:24]:<24}",
            ", ".join(alert.reasons),
        )
        line = "  ".join(escape(cell) for cell in cells)
        self._console.print(f"  [{colour}]{line}[/][cyan]{escape(ips)}[/]")

    def quiet(self, scene: Scene, verdict: Verdict) -> None:
        """Say why an assignment brought no alert."""
        whom = " and ".join(verdict.target_types)
        self._console.print(
            f"  [green]no alert[/]  {escape(scene.admin.upn)} made {escape(scene.app)} Required "
            f"for {whom} at {escape(scene.tenant.name)}:\n"
            f"            {len(verdict.risk)} rows of Medium or High risk, "
            f"{len(verdict.behaviors)} of the five risky behaviors between 14 days before and "
            "48 hours after, "
            f"delegated admin: {'yes' if verdict.assignment.actor.is_delegated_admin else 'no'}"
        )


def demo(
    events: Annotated[int, typer.Option(min=1000, help="audit events of the background")] = 20_000,
    seed: Annotated[int, typer.Option(help="the same seed gives the same records")] = 1,
) -> None:
    """Show the whole pipeline at work, and check its sums.

    Starts a real Kafka and Redis in `.masswatch/demo` (or uses those that the environment names,
    which must be empty) and two workers, and plays a story of four
    admins: a quiet one, a partner's, one with impossible travel, and one whose High risk comes a
    day late. Then a day of many tenants runs through while one worker is killed. In the end the
    alerts are compared with those that the traffic was made to cause, and with those that a
    backtest of the topics says. Everything that was started is stopped.

    Exit code 1 when they differ.
    """
    plan = Plan(seed=seed, audit_events=events, malformed=12, story=True)
    console = Console(highlight=False, soft_wrap=True)
    with _addresses(console) as addresses, Rig(addresses, FOLDER / "logs") as rig:
        sums = play(rig, OnTerminal(_names_of(plan)), plan)
        _print_sums(console, sums, addresses)
    if not sums.holds:
        raise typer.Exit(1)


@contextmanager
def _addresses(console: Console) -> Iterator[Addresses]:
    given = given_addresses()
    if given is not None:
        yield given
        return
    console.print("[bold cyan]A local Kafka and Redis start[/]")
    down(FOLDER, purge=True)
    try:
        yield up(FOLDER, lambda line: console.print(f"  [dim]{escape(line)}[/]"))
    finally:
        down(FOLDER)


def _names_of(plan: Plan) -> dict[str, str]:
    simulation = generate(plan)
    tenants = [*simulation.tenants, *(scene.tenant for scene in simulation.scenes)]
    return {tenant.id: tenant.name for tenant in tenants}


def _print_sums(console: Console, sums: Sums, addresses: Addresses) -> None:
    of, held = sums.conserved, sums.comparison
    console.print("\n[bold cyan]Law 2 on the worker that lived: nothing is lost[/]")
    console.print(
        f"  values   fetched {of['values_fetched']:,} = sieved {of['values_sieved']:,}"
        f" + opened {of['values_opened']:,}\n"
        f"  records  ignored {of['records_ignored']:,}, handled {of['records_handled']:,},"
        f" dead-lettered {of['records_dead_lettered']:,}"
    )
    equal = "equal to live, field for field"
    console.print(
        f"\n[bold cyan]Law 5: a backtest says what live said[/]\n  {sums.backtested} alerts, "
        + (f"[bold red]{sums.unlike_live} unlike live[/]" if sums.unlike_live else equal)
    )
    console.print("\n[bold cyan]Read the alerts with your own tools, while a stack runs[/]")
    console.print(
        f"  kcat -b {addresses.bootstrap_servers} -t {ALERTS} -C -o beginning -e"
        " -X isolation.level=read_committed"
    )
    for what, events in (
        ("missing", held.missing),
        ("wrong", held.wrong),
        ("unexpected", held.unexpected),
    ):
        for tenant, event in events:
            console.print(f"  [red]{what}[/]: tenant {tenant}, audit event {event}")
    colour = "bold green" if held.holds else "bold red"
    console.print(
        f"\n[{colour}]expected {held.expected}, seen {held.seen}, missing {len(held.missing)}, "
        f"wrong {len(held.wrong)}, unexpected {len(held.unexpected)}[/]"
    )
