"""Slices: from what is asked for to what has to be read."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from pipeline.adapters.kafka_slice import freeze
from pipeline.backtest.judging import Question
from pipeline.core.event_time import EventTime, ticks
from pipeline.slices.files import PART_BYTES, files_in, shards_of
from pipeline.slices.offsets import offsets_of
from pipeline.slices.shard import Slice

CLOCKS_DIFFER_BY: Final = timedelta(hours=1)
"""How far an event time may lie after the moment at which its record was appended."""

ANSWERS_WITHIN: Final = timedelta(seconds=10)
"""How long the broker may take to say where the slice lies."""

_SHARDS_A_PROCESS: Final = 4
_TICKS_PER_MS: Final = 10_000


def slice_of_files(
    paths: Sequence[Path], tenants: frozenset[str], *, part_bytes: int = PART_BYTES
) -> Slice:
    """Take files whole, and folders with all files in them.

    Raises:
        ConfigError: something is not there or cannot be read.
    """
    files = files_in(paths)
    return Slice(
        shards=tuple(shards_of(files, part_bytes)),
        sources=tuple(sorted(map(str, files))),
        tenants=tenants,
    )


def slice_of_topics(
    client: Mapping[str, str],
    topics: Sequence[str],
    question: Question,
    tenants: frozenset[str],
    *,
    late_at_most: timedelta | None = None,
    processes: int = 1,
) -> Slice:
    """Find what may be evidence of the assignments asked for, by when it was appended.

    It begins as long before the first assignment as the widest window reaches. It ends with the
    topics as they are now, because evidence may come arbitrarily late; `late_at_most` says how
    long after its event time a record may have been appended, and bounds the slice.

    Raises:
        ConfigError: a topic does not exist.
        BrokerUnavailable: the broker does not answer.
    """
    windows = [one.policy.windows for one in question.policies]
    before = max(max(one.evidence.before, one.graph.before) for one in windows)
    after = max(max(one.evidence.after, one.graph.after) for one in windows)
    since = until = None
    if question.since is not None:
        since = _milliseconds(question.since, -(before + CLOCKS_DIFFER_BY))
    if question.until is not None and late_at_most is not None:
        until = _milliseconds(question.until, after + late_at_most)
    frozen = freeze(client, topics, since_ms=since, until_ms=until, within=ANSWERS_WITHIN)
    warnings = [
        f"{partition}: earlier records have been deleted: evidence may be missing"
        for partition in frozen.cut
    ]
    if not any(len(one) for one in frozen.ranges):
        warnings.append("nothing lies in the slice: look at --from, --to and --late-at-most")
    return Slice(
        shards=tuple(offsets_of(frozen.ranges, client, about=_shards(processes))),
        sources=tuple(sorted(dict.fromkeys(topics))),
        tenants=tenants,
        warnings=tuple(warnings),
    )


def _shards(processes: int) -> int:
    return 1 if processes == 1 else _SHARDS_A_PROCESS * processes


def _milliseconds(event_time: EventTime, shift: timedelta) -> int:
    return (event_time + ticks(shift)) // _TICKS_PER_MS
