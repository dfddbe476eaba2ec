"""`masswatch simulate`: traffic of many tenants that knows the alerts which must come of it."""

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipeline.adapters.kafka_producer import KafkaProducer
from pipeline.cli.output import Output, OutputOption, print_json, print_table
from pipeline.config import load_settings
from pipeline.core.event_time import EventTime, parse_event_time
from pipeline.simulate.delivery import Arrival, Kind
from pipeline.simulate.document import FILES, expectation_of
from pipeline.simulate.expected import Mode
from pipeline.simulate.output import EXPECTED_FILE, Pace, Sent, send, write_document, write_files
from pipeline.simulate.simulation import DEFAULT_START, Plan, Simulation, generate
from topics.catalogue import Sources


def simulate(
    seed: Annotated[int, typer.Option(help="the same seed gives the same bytes")] = 1,
    tenants: Annotated[int, typer.Option(help="how many tenants, of unequal size", min=2)] = 24,
    events: Annotated[
        int, typer.Option(help="audit events in all; 0 with --story for the story alone", min=0)
    ] = 50_000,
    start: Annotated[
        str, typer.Option("--from", help="event time at which it begins, ISO 8601")
    ] = DEFAULT_START,
    days: Annotated[float, typer.Option(help="over how many days", min=0.1)] = 1.0,
    rate: Annotated[
        float | None, typer.Option(help="records a second; without it, flat out", min=0.1)
    ] = None,
    to_files: Annotated[
        Path | None, typer.Option(help="write JSON Lines files into this folder, not to Kafka")
    ] = None,
    expected: Annotated[
        Path | None, typer.Option(help="write here what must come of it, as JSON")
    ] = None,
    malformed: Annotated[
        bool, typer.Option("--malformed", help="spoil some records, for the DLQs")
    ] = False,
    story: Annotated[
        bool, typer.Option("--story", help="tell the four scenes of the demo as well")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make seeded, realistic traffic of many tenants that knows its alerts.

    An ordinary day of Intune audit events, mostly of machines, with Graph activity, identity
    snapshots and behaviours beside it, in every form in which Azure sends them: envelopes, arrays
    of envelopes, bare rows, tables mixed in one topic, copies, late and out of order. Cases are
    planted in it, for each reason, at the very ends of the windows and one tick outside, and what
    must come of them is known from the planting, not from this project's own detection.

    Records go to the source topics of MASSWATCH_KAFKA__BOOTSTRAP_SERVERS, or to files with
    --to-files. Event times begin at --from and do not depend on the clock.

    Examples:
      masswatch simulate --to-files day --malformed
      masswatch simulate --events 1000000 --rate 5000 --expected expected.json
      masswatch simulate --story --events 0
    """
    plan = Plan(
        seed=seed,
        tenants=tenants,
        audit_events=events,
        start=_moment(start),
        duration=timedelta(days=days),
        malformed=max(8, events // 2_000) if malformed and events else 0,
        many_lines=to_files is None,
        story=story,
    )
    simulation = generate(plan)
    if to_files is None:
        sent = _to_kafka(simulation, rate)
    else:
        sent = write_files(_shown(simulation), to_files)
        write_document(expectation_of(simulation), to_files / EXPECTED_FILE)
    if expected is not None:
        write_document(expectation_of(simulation), expected)
    _report(simulation, sent, output)


def _moment(text: str) -> EventTime:
    moment = parse_event_time(text)
    if moment is None:
        raise typer.BadParameter(f'"{text}": write it like {DEFAULT_START}', param_hint="--from")
    return moment


def _to_kafka(simulation: Simulation, rate: float | None) -> Sent:
    settings = load_settings().kafka
    pace = Pace(rate, time.monotonic, time.sleep)
    with KafkaProducer(settings.client()) as producer:
        return send(_shown(simulation), producer, _topics(settings.sources), pace)


def _topics(sources: Sources) -> dict[Kind, tuple[str, ...]]:
    return {
        Kind.AUDIT: sources.audit,
        Kind.IDENTITY_INFO: sources.identity_info,
        Kind.BEHAVIOR_ENTITIES: sources.behavior_entities,
        Kind.GRAPH_ACTIVITY: sources.graph_activity,
    }


def _shown(simulation: Simulation) -> Iterator[Arrival]:
    """Pass the values on; somebody at a terminal sees how far it is."""
    if not sys.stderr.isatty():
        yield from simulation
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} records"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("simulating", total=simulation.about_records)
        yield from _counted(simulation, progress, task)


def _counted(arrivals: Iterable[Arrival], progress: Progress, task: TaskID) -> Iterator[Arrival]:
    for arrival in arrivals:
        yield arrival
        progress.advance(task, arrival.records)


def _report(simulation: Simulation, sent: Sent, output: Output) -> None:
    alerts = simulation.expected(Mode.REPAIRED)
    count = sum(len(of_tenant) for of_tenant in alerts.values())
    quiet = len(simulation.labels) - count
    letters = len(simulation.dead_letters)
    if output is Output.JSON:
        print_json(
            {
                "seed": simulation.plan.seed,
                "values": sent.values,
                "records": sent.records,
                "expected": {"alerts": count, "quiet": quiet, "dead_letters": letters},
            }
        )
        return
    rows = [
        (FILES[kind].removesuffix(".jsonl"), f"{sent.values[kind]:,}", f"{sent.records[kind]:,}")
        for kind in Kind
    ]
    print_table(("source", "values", "records"), rows)
    typer.echo(
        f"{count} alerts must come of it in {len(alerts)} tenants; {quiet} assignments stay quiet; "
        f"{letters} dead letters"
    )
