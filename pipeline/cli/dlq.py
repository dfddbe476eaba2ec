"""`masswatch dlq`: what lies in the DLQs, why, and sent to its source topic again."""

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Annotated, Final

import typer

from pipeline.adapters.kafka_metadata import partition_counts
from pipeline.adapters.kafka_replay import ReplayProducer
from pipeline.adapters.kafka_slice import Range, freeze
from pipeline.cli.dlq_report import (
    SHOWN_AT_MOST,
    Outcome,
    Shown,
    print_kinds,
    print_letters,
    print_redriven,
)
from pipeline.cli.interrupting import INTERRUPTED, interruptible
from pipeline.cli.output import Output, OutputOption
from pipeline.cli.slicing import bounds, watching
from pipeline.config import Settings, load_settings
from pipeline.core.errors import ConfigError, MasswatchError
from pipeline.core.model import Position
from pipeline.dlq.reading import Selection, Shelf, letters, notes
from pipeline.dlq.redrive import AT_MOST, Guard, redrive
from pipeline.dlq.rereading import Reader
from pipeline.dlq.summary import summed
from pipeline.policy_file import load_policy
from pipeline.sources.decode import Decoder
from topics.catalogue import EVALUATIONS, dlq_of

app = typer.Typer(
    name="dlq",
    help="Dead letters: records that nobody could use, with the reason, whole.\n\n"
    "They lie in `<source>.dlq`. Nothing here deletes one; Kafka does after its retention.",
    no_args_is_help=True,
)

_TICKS_PER_MS: Final = 10_000
_POSITION: Final = re.compile(r"([A-Za-z0-9._-]+)\[(\d{1,9})\]@(\d{1,18})(?:#(\d{1,9}))?")
_DLQ: Final = dlq_of("")
_BATCH_BYTES: Final = 64 * 1024
"""Sent at once: a topic that takes less refuses a larger batch whole, however small its values."""

TopicOption = Annotated[
    list[str] | None,
    typer.Option("--topic", help="this source topic, or its DLQ; may be repeated; default: all"),
]
ReasonOption = Annotated[str, typer.Option(help="only where the reason holds this text")]
FromOption = Annotated[
    str | None,
    typer.Option("--from", help="dead-lettered from this time on: 2026-03-01 or ISO 8601"),
]
ToOption = Annotated[str | None, typer.Option("--to", help="dead-lettered before this time")]


@dataclass(frozen=True, slots=True)
class _Reading:
    """Which DLQs are read, from where, on which cluster; and what is asked for."""

    settings: Settings
    client: Mapping[str, str]
    partitions: Mapping[str, int]
    ranges: tuple[Range, ...]
    selection: Selection


@app.command("list")
def show_kinds(
    topics: TopicOption = None,
    reason: ReasonOption = "",
    since: FromOption = None,
    until: ToOption = None,
    limit: Annotated[int, typer.Option(help="lines at most, the most frequent first", min=1)] = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """Count dead letters by topic and reason.

    `latest` is the position of the last one, for `masswatch dlq show`. Reads, and writes nothing.
    """
    reading = _reading(topics, reason, since, until)
    with watching("looking for notes") as watch:
        shelf = notes(reading.client, reading.ranges, watch=watch)
    with watching("counting") as watch:
        found = letters(reading.client, reading.ranges, reading.selection, Shelf(), watch=watch)
        kinds = summed(found, shelf.noted)
    print_kinds(kinds, limit, shelf.strange, output)


@app.command("show")
def show(
    position: Annotated[
        str,
        typer.Argument(
            help="topic[partition]@offset of a dead letter, or of the source record as logs have "
            "it, there with #index if one likes"
        ),
    ],
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a dead letter: reason, place, headers, the record, and whether it could be read today.

    Today is this version with the policy of MASSWATCH_POLICY_FILE. Long records are cut in a
    table, never in JSON. Exit code 1: nothing lies there.
    """
    place = _position(position)
    reading = _reading([place.topic], "", None, None)
    if place.topic.endswith(_DLQ):
        reading = replace(reading, ranges=_from_on(place, reading.ranges))
    selection = Selection(positions=frozenset({place}))
    shown, shelf, count = list[Shown](), Shelf(), 0
    reread = _reader(reading.settings)
    with watching("searching") as watch:
        for letter in letters(reading.client, reading.ranges, selection, shelf, watch=watch):
            count += 1
            if len(shown) < SHOWN_AT_MOST:
                shown.append(Shown(letter, reread(letter)))
    if not shown:
        raise MasswatchError(
            f"{place}: no dead letter is there, or of that: see masswatch dlq list"
        )
    print_letters(shown, shelf.noted, count, output)


@app.command("redrive")
def send_again(
    positions: Annotated[
        list[str] | None,
        typer.Argument(
            help="only these: topic[partition]@offset of dead letters or of their source records",
            show_default=False,
        ),
    ] = None,
    topics: TopicOption = None,
    reason: ReasonOption = "",
    since: FromOption = None,
    until: ToOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="needed when nothing else says which")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="values sent at most", min=1)] = None,
    at_most: Annotated[
        int, typer.Option(help="how often a value may be redriven in all", min=1)
    ] = AT_MOST,
    even_if_refused: Annotated[
        bool, typer.Option("--even-if-refused", help="also what would be refused again today")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show what would be sent, and write nothing")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send the values of dead letters to their source topics again, with their keys and headers.

    A value goes to the partition that it came from, once, however many of its records are dead
    letters. Left out are letters whose record this version with this policy would still refuse,
    values that were redriven before (notes in the DLQ say so), or --at-most times, and values of
    which only the beginning was kept. Two headers are added: masswatch-redrives counts, and
    masswatch-redriven-from is the position of the letter.

    The values that others of the same envelope gave are handled again, which changes no alert.

    Ctrl-C waits for what is in flight: exit code 130. Run again, it goes on.

    Examples:
      masswatch dlq redrive --reason "no readable event time" --dry-run
      masswatch dlq redrive --topic intune.audit.v1 --from 2026-03-01
      masswatch dlq redrive "intune.audit.v1.dlq[0]@17"
    """
    places = frozenset(map(_position, positions or ()))
    is_all = not (places or topics or reason or since or until)
    if is_all and not (everything or dry_run):
        raise typer.BadParameter(
            "which: name positions, --topic, --reason, --from or --to, or else --all",
            param_hint="positions",
        )
    named = topics or sorted({place.topic for place in places})
    reading = _reading(named, reason, since, until)
    reading = replace(reading, selection=replace(reading.selection, positions=places))
    outcome = _redrive(
        reading,
        None if dry_run else ReplayProducer(reading.client, _BATCH_BYTES),
        limit=limit,
        at_most=at_most,
        even_if_refused=even_if_refused,
    )
    print_redriven(outcome, output)
    if outcome.sender is not None:
        outcome.sender.raise_failures()
    if outcome.done.ended_by is not None:
        raise outcome.done.ended_by
    if outcome.stopped:
        raise typer.Exit(INTERRUPTED)


def _redrive(
    reading: _Reading,
    sender: ReplayProducer | None,
    *,
    limit: int | None,
    at_most: int,
    even_if_refused: bool,
) -> Outcome:
    client, ranges = reading.client, reading.ranges
    with interruptible() as stopped:
        with watching("looking for notes") as watch:
            shelf = notes(client, ranges, stopped=stopped, watch=watch)
        guard = Guard(
            _reader(reading.settings),
            shelf.noted,
            reading.partitions.keys(),
            at_most=at_most,
            even_if_refused=even_if_refused,
        )
        with (
            watching("redriving") as watch,
            closing(
                letters(client, ranges, reading.selection, Shelf(), stopped=stopped, watch=watch)
            ) as found,
        ):
            done = redrive(found, guard, reading.partitions, sender, limit)
        return Outcome(done, sender, stopped=stopped())


def _reading(
    topics: Sequence[str] | None, reason: str, since: str | None, until: str | None
) -> _Reading:
    """Find what is to be read: to the end always, because notes lie behind their letters."""
    since_ms, until_ms = (
        None if one is None else one // _TICKS_PER_MS for one in bounds(since, until)
    )
    settings = load_settings()
    client = settings.kafka.client()
    sources = (*settings.kafka.sources.all, EVALUATIONS)
    named = dict.fromkeys(one.removesuffix(_DLQ) for one in topics or sources)
    partitions = partition_counts(client, [dlq_of(one) for one in named])
    missing = [dlq_of(one) for one in named if dlq_of(one) not in partitions]
    if missing:
        raise ConfigError(
            "\n".join(
                f"topic {one}: does not exist: correct the name, or run masswatch topics apply"
                for one in missing
            )
        )
    frozen = freeze(client, [dlq_of(one) for one in named], since_ms=since_ms)
    selection = Selection(since_ms, until_ms, reason)
    return _Reading(settings, client, partitions, frozen.ranges, selection)


def _from_on(place: Position, ranges: Sequence[Range]) -> tuple[Range, ...]:
    return tuple(
        replace(one, first=max(one.first, place.offset))
        for one in ranges
        if one.partition == place.partition
    )


def _reader(settings: Settings) -> Reader:
    policy = load_policy(settings.policy_file)
    return Reader(Decoder(policy.matching, policy.workspaces))


def _position(text: str) -> Position:
    form = _POSITION.fullmatch(text.strip())
    if form is None:
        raise typer.BadParameter(
            f'"{text}": write topic[partition]@offset, in quotes', param_hint="position"
        )
    topic, partition, offset, index = form.groups()
    return Position(topic, int(partition), int(offset), None if index is None else int(index))
