"""What commands that judge the past have in common: their options, and what these mean."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipeline.backtest.engine import MEMORY, run
from pipeline.backtest.judging import Question
from pipeline.backtest.result import Backtest, NamedPolicy
from pipeline.backtest.slicing import slice_of_files, slice_of_topics
from pipeline.config import load_settings
from pipeline.core.event_time import EventTime, parse_event_time
from pipeline.policy_file import load_policy
from pipeline.slices.progress import Progress as Scanned
from pipeline.slices.progress import Watch
from pipeline.slices.shard import Slice

DEFAULTS: Final = "defaults"

FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        help="files or folders: JSON Lines (also .gz, .zst), one value of a source topic a line; "
        "Parquet, one row of a table a row, or values in a column `value`; without any, the "
        "source topics are read",
        show_default=False,
    ),
]
FilesOption = Annotated[
    list[Path] | None,
    typer.Option("--files", help="the same as an argument", show_default=False),
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", help="assignments from this event time on: 2026-03-01 or ISO 8601"),
]
ToOption = Annotated[str | None, typer.Option("--to", help="assignments before this event time")]
TenantOption = Annotated[
    list[str] | None, typer.Option("--tenant", help="this tenant alone; may be repeated")
]
LateOption = Annotated[
    float | None,
    typer.Option(
        "--late-at-most",
        help="days after its event time at which a record may have been appended: bounds what is "
        "read of topics; without it they are read to their end, and the answer is certain",
        min=0,
        max=36_500,
    ),
]
ProcessesOption = Annotated[
    int, typer.Option("--processes", help="how many scan side by side", min=1)
]
MemoryOption = Annotated[
    int, typer.Option("--memory", help="MiB that judging may take in all", min=16)
]
PROCESSES: Final = os.cpu_count() or 1
MEMORY_MIB: Final = MEMORY >> 20


def moment(text: str | None, option: str) -> EventTime | None:
    """Read an event time; a date is its first moment, UTC.

    Raises:
        BadParameter: it is neither.
    """
    if text is None:
        return None
    read = parse_event_time(text if len(text) > len("2026-03-01") else f"{text}T00:00:00Z")
    if read is None:
        raise typer.BadParameter(
            f'"{text}": write 2026-03-01 or 2026-03-01T09:30:00Z', param_hint=option
        )
    return read


def bounds(since: str | None, until: str | None) -> tuple[EventTime | None, EventTime | None]:
    """Read both ends.

    Raises:
        BadParameter: one is no event time, or they are the wrong way round.
    """
    first, end = moment(since, "--from"), moment(until, "--to")
    if first is not None and end is not None and end <= first:
        raise typer.BadParameter("not after --from", param_hint="--to")
    return first, end


def named_policies(files: Sequence[Path | None]) -> tuple[NamedPolicy, ...]:
    """Load policies; None is that of no file. Two of one name are told apart by their folders.

    Raises:
        ConfigError: one is wrong.
    """
    names = [DEFAULTS if one is None else one.name for one in files]
    return tuple(
        NamedPolicy(name if names.count(name) == 1 else str(file or name), load_policy(file))
        for name, file in zip(names, files, strict=True)
    )


def judged(
    files: Sequence[Path],
    question: Question,
    *,
    tenants: Sequence[str],
    late_at_most: float | None,
    processes: int,
    memory_mib: int,
) -> Backtest:
    """Run a backtest over files, or over the source topics when there are none.

    Raises:
        ConfigError: a file or topic is not there or cannot be read.
        BrokerUnavailable: the broker does not answer.
        OutOfMemory: the facts do not fit.
    """
    wanted = frozenset(one.strip().lower() for one in tenants)
    of = (
        slice_of_files(files, wanted)
        if files
        else _slice_of_topics(question, wanted, late_at_most, processes)
    )
    with _ended_by_signals(), watching("scanning") as watch:
        return run(of, question, processes=processes, memory=memory_mib << 20, watch=watch)


def _slice_of_topics(
    question: Question, tenants: frozenset[str], late_at_most: float | None, processes: int
) -> Slice:
    kafka = load_settings().kafka
    return slice_of_topics(
        kafka.client(),
        kafka.sources.all,
        question,
        tenants,
        late_at_most=None if late_at_most is None else timedelta(days=late_at_most),
        processes=processes,
    )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what is under way as Ctrl-C does: no process, no file stays."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    former = {one: signal.signal(one, end) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def watching(doing: str) -> Iterator[Watch]:
    """Show somebody at a terminal how far it is, at what rate, and how long it will take."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[values]:,} values, {task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=None, values=0, rate=0.0)

        def watch(scanned: Scanned) -> None:
            elapsed = progress.tasks[task].elapsed or 0.0
            progress.update(
                task,
                completed=scanned.done,
                total=max(scanned.total, scanned.done),
                values=scanned.values,
                rate=scanned.values / elapsed if elapsed else 0.0,
            )

        yield watch
