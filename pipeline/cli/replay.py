"""`masswatch replay`: what lies in topics or files, written into topics again."""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.adapters.kafka_feed import KafkaFeed
from pipeline.adapters.kafka_replay import ReplayProducer
from pipeline.adapters.kafka_slice import Range, freeze
from pipeline.cli.interrupting import INTERRUPTED, interruptible
from pipeline.cli.output import Output, OutputOption
from pipeline.cli.replay_report import print_plan, print_replayed
from pipeline.cli.slicing import bounds, watching
from pipeline.config import load_settings
from pipeline.core.event_time import EventTime
from pipeline.replay.pace import ByRate, ByRecordTime, FlatOut, Pace
from pipeline.replay.replay import FILES, FileSource, Manner, Replayed, TopicSource, run
from pipeline.replay.routes import (
    Placement,
    Route,
    Wanted,
    create_missing,
    refuse_own_source,
    routes_of,
)
from pipeline.slices.files import PART_BYTES, files_in, shards_of
from pipeline.slices.shard import Shard
from topics.catalogue import Topic, catalogue

_TICKS_PER_MS: Final = 10_000
_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_SPAN: Final = re.compile(r"([+-]?)((?:\d+(?:\.\d+)?(?:ms|[smhdw]))+)")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be done, once it is clear that it may be."""

    ranges: tuple[Range, ...]
    shards: tuple[Shard, ...]
    wanted: Wanted
    source: Mapping[str, str]
    target: Mapping[str, str]
    known: Sequence[Topic]
    warnings: tuple[str, ...]


def replay(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="files or folders as `masswatch backtest` reads them, written --into one topic; "
            "without any, topics are replayed",
            show_default=False,
        ),
    ] = None,
    topics: Annotated[
        list[str] | None,
        typer.Option("--topic", help="from this topic; may be repeated; default: every source"),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", help="records from this record time on: 2026-03-01 or ISO 8601"),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="records before this record time; default: now")
    ] = None,
    prefix: Annotated[str, typer.Option(help="put before the name of every new topic")] = "",
    to_bootstrap_servers: Annotated[
        str | None,
        typer.Option(help="write to this cluster, as the same user; default: the one that is read"),
    ] = None,
    into: Annotated[str | None, typer.Option(help="for files: the topic")] = None,
    speed: Annotated[
        float | None,
        typer.Option(help="times as fast as recorded; without it, flat out", min=0.000001),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="records a second; without it, flat out", min=0.001)
    ] = None,
    shift: Annotated[
        str | None, typer.Option(help="added to every record time: 90d, 1d12h, -30m, 500ms")
    ] = None,
    keep_partitions: Annotated[
        bool | None,
        typer.Option(
            "--keep-partitions/--by-key",
            help="same partition numbers, or by key; default: same where there are as many",
            show_default=False,
        ),
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="create missing topics, with the catalogue's settings")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show what would be written, and write nothing")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Write what lies in topics or files into topics again: flat out, or at the pace of then.

    Values, keys and headers stay as they are, to the byte, and so does the order within each
    partition; among partitions the earliest record goes first. Only committed records are read,
    up to where the topics end when it begins. No consumer group is joined.

    Event times inside of values never change. Record times are kept, or moved by --shift, where
    the new topic takes them: one of `message.timestamp.type=LogAppendTime`, as `masswatch topics
    apply` and --create make it, stamps every record itself.

    A slice is what lies in each partition from the first record as late as --from up to the first
    one as late as --to.

    Nothing is written into a topic that is read, whatever the address of its cluster: exit code 3.
    Ctrl-C waits for what is in flight and says how far it came: exit code 130.

    Examples:
      masswatch replay --prefix again. --create
      masswatch replay --from 2026-07-01 --to 2026-07-02 --prefix drill. --speed 60
      masswatch replay --to-bootstrap-servers staging:9092
      masswatch replay day/audit.jsonl.zst --into intune.audit.v1 --rate 500
    """
    _check_usage(
        files=bool(files),
        into=into is not None,
        only_for_topics={
            "--topic": topics,
            "--from": since,
            "--to": until,
            "--prefix": prefix,
            "--speed": speed,
            "--shift": shift,
            "--keep-partitions/--by-key": keep_partitions,
        },
    )
    if speed is not None and rate is not None:
        raise typer.BadParameter("either --speed or --rate", param_hint="--rate")
    placement = _PLACEMENTS[keep_partitions]
    shift_ms = _milliseconds(shift)
    if files:
        job = _job_of_files(files, into or "", to_bootstrap_servers, create=create)
    else:
        wanted = Wanted({}, {}, placement, create)
        job = _job_of_topics(topics, bounds(since, until), prefix, to_bootstrap_servers, wanted)
    for warning in job.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if not job.shards and not any(map(len, job.ranges)):
        typer.echo("warning: nothing lies in the slice: look at --from and --to", err=True)
    refuse_own_source(job.wanted, job.source, job.target)
    routes = routes_of(job.wanted, job.known, job.target)
    if dry_run:
        print_plan(routes, job.ranges, output)
        return
    if any(one.is_new for one in routes):
        replication = load_settings().kafka.replication_factor
        create_missing(job.wanted, job.known, job.target, replication)
        routes = routes_of(job.wanted, job.known, job.target)
    replayed = _run(routes, job, _pace(speed, rate), shift_ms, output)
    _end(replayed)


_PLACEMENTS: Final = {None: None, True: Placement.SAME, False: Placement.BY_KEY}


def _check_usage(*, files: bool, into: bool, only_for_topics: Mapping[str, object]) -> None:
    if files and not into:
        raise typer.BadParameter("files need it", param_hint="--into")
    if into and not files:
        raise typer.BadParameter("for files; topics take a --prefix", param_hint="--into")
    for name, value in only_for_topics.items():
        if files and value not in (None, "", []):
            raise typer.BadParameter(
                "for topics: a file has neither partitions nor record times", param_hint=name
            )


def _job_of_files(files: Sequence[Path], into: str, servers: str | None, *, create: bool) -> _Job:
    kafka = load_settings().kafka
    return _Job(
        ranges=(),
        shards=tuple(shards_of(files_in(files), PART_BYTES)),
        wanted=Wanted({FILES: into}, {}, create=create),
        source=kafka.client(),
        target=kafka.client(servers),
        known=catalogue(kafka.sources, history=kafka.kept),
        warnings=(),
    )


def _job_of_topics(
    topics: Sequence[str] | None,
    ends: tuple[EventTime | None, EventTime | None],
    prefix: str,
    servers: str | None,
    wanted: Wanted,
) -> _Job:
    kafka = load_settings().kafka
    names = list(dict.fromkeys(topics or kafka.sources.all))
    since, until = (None if one is None else one // _TICKS_PER_MS for one in ends)
    frozen = freeze(kafka.client(), names, since_ms=since, until_ms=until)
    partitions = {name: sum(one.topic == name for one in frozen.ranges) for name in names}
    targets = {name: prefix + name for name in names}
    return _Job(
        ranges=frozen.ranges,
        shards=(),
        wanted=replace(wanted, targets=targets, partitions=partitions),
        source=kafka.client(),
        target=kafka.client(servers),
        known=catalogue(kafka.sources, history=kafka.kept),
        warnings=tuple(
            f"{partition}: earlier records have been deleted" for partition in frozen.cut
        ),
    )


def _pace(speed: float | None, rate: float | None) -> Pace:
    if speed is not None:
        return ByRecordTime(speed, time.monotonic)
    return FlatOut() if rate is None else ByRate(rate, time.monotonic)


def _milliseconds(text: str | None) -> int:
    """Read a span of time, as --shift takes it."""
    if text is None:
        return 0
    form = _SPAN.fullmatch(text)
    if form is None:
        raise typer.BadParameter(f'"{text}": write 90d, 1d12h, -30m or 500ms', param_hint="--shift")
    span = sum(
        (float(number) * _UNITS[unit] for number, unit in _PART.findall(form[2])), timedelta()
    )
    return (-1 if form[1] == "-" else 1) * (span // timedelta(milliseconds=1))


def _run(routes: Sequence[Route], job: _Job, pace: Pace, shift_ms: int, output: Output) -> Replayed:
    producer = ReplayProducer(job.target, min(one.takes_bytes for one in routes))
    by_source = {one.source: one for one in routes}
    with interruptible() as stopped, watching("replaying") as watch:
        manner = Manner(pace, shift_ms, stopped)
        if job.shards:
            source = FileSource(job.shards)
            replayed = run(source, by_source, producer, manner, watch)
        else:
            with closing(KafkaFeed(job.source, job.ranges)) as feed:
                total = sum(map(len, job.ranges))
                replayed = run(TopicSource(feed, total), by_source, producer, manner, watch)
    print_replayed(replayed, routes, output)
    producer.raise_failures()
    return replayed


def _end(replayed: Replayed) -> None:
    if replayed.ended_by is not None:
        raise replayed.ended_by
    if replayed.stopped:
        raise typer.Exit(INTERRUPTED)
