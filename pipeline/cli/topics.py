"""`masswatch topics`: the topics as they should be, as they are, and made so."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from pipeline.adapters.kafka_admin import apply, compare
from pipeline.adapters.topic_differences import Difference
from pipeline.cli.output import Output, OutputOption, print_json, print_table
from pipeline.config import load_settings
from topics.catalogue import PARTITIONS, Topic, catalogue

app = typer.Typer(
    name="topics",
    help="The topics of Masswatch: what they are, and whether the cluster has them so.\n\n"
    "They are declared as code, and nothing is created by itself. Names of the source topics "
    "are settings (MASSWATCH_KAFKA__TOPICS__AUDIT and so on).",
    no_args_is_help=True,
)

PartitionsOption = Annotated[
    int,
    typer.Option(
        "--partitions",
        min=1,
        help="of every topic but the DLQs: the most workers that can share the work",
    ),
]


@app.command("list")
def show(partitions: PartitionsOption = PARTITIONS, output: OutputOption = Output.TABLE) -> None:
    """List the topics as they should be. Asks no broker."""
    kafka = load_settings().kafka
    topics = catalogue(kafka.sources, partitions=partitions, history=kafka.kept)
    if output is Output.JSON:
        print_json([_as_json(topic) for topic in topics])
    else:
        print_table(
            ("topic", "partitions", "key", "kept", "content", "read by"),
            [_as_row(topic) for topic in topics],
        )


@app.command("diff")
def diff(partitions: PartitionsOption = PARTITIONS, output: OutputOption = Output.TABLE) -> None:
    """Show in what the cluster differs. Changes nothing.

    More partitions than asked are no difference, but evaluations and alerts must have as many
    as each other. Exit code 1 if anything differs.
    """
    kafka = load_settings().kafka
    wanted = catalogue(kafka.sources, partitions=partitions, history=kafka.kept)
    found = compare(wanted, kafka.client())
    if output is Output.JSON:
        print_json([asdict(each) for each in found])
    else:
        _print_differences(found, none="nothing differs")
    if found:
        raise typer.Exit(1)


@app.command("apply")
def make(partitions: PartitionsOption = PARTITIONS, output: OutputOption = Output.TABLE) -> None:
    """Create what is missing and set what differs; return when the cluster shows it.

    Deletes nothing and lowers no count. Partitions of evaluations and alerts are never changed
    once they exist. Applying again changes nothing. Exit code 1 if something is left that a
    person has to decide.
    """
    kafka = load_settings().kafka
    applied = apply(
        catalogue(kafka.sources, partitions=partitions, history=kafka.kept),
        kafka.client(),
        replication=kafka.replication_factor,
    )
    if output is Output.JSON:
        print_json(
            {
                "changed": [asdict(each) for each in applied.changed],
                "left": [asdict(each) for each in applied.left],
            }
        )
    else:
        _print_differences(applied.changed, none="nothing to do")
        if applied.left:
            typer.echo("\nleft for you:")
            _print_differences(applied.left, none="")
    if applied.left:
        raise typer.Exit(1)


def _print_differences(differences: Sequence[Difference], *, none: str) -> None:
    if not differences:
        typer.echo(none)
        return
    print_table(
        ("topic", "setting", "wanted", "found", "remedy"),
        [(each.topic, each.setting, each.wanted, each.found, each.remedy) for each in differences],
    )


def _as_row(topic: Topic) -> tuple[str, ...]:
    kept = f"{topic.retention // timedelta(days=1)} days, {topic.cleanup.value}"
    return (
        topic.name,
        str(topic.partitions),
        topic.key,
        kept,
        topic.content,
        ", ".join(topic.readers),
    )


def _as_json(topic: Topic) -> dict[str, object]:
    return {
        "name": topic.name,
        "partitions": topic.partitions,
        "key": topic.key,
        "content": topic.content,
        "readers": list(topic.readers),
        "config": topic.config(),
    }
