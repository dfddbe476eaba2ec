"""Run a backtest: shards scanned side by side, tenants judged side by side, one answer."""

import tempfile
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Final

from pipeline.backtest.judging import Judgement, Question, Said
from pipeline.backtest.processes import Beside, Here, Processes, Work
from pipeline.backtest.result import Answer, Backtest, Difference, ordered
from pipeline.backtest.scan import Counted, readings_of
from pipeline.backtest.spill import BUCKETS, spilled_bytes
from pipeline.core.errors import MasswatchError
from pipeline.slices.progress import Watch
from pipeline.slices.shard import Slice

MEMORY: Final = 1024 * 1024 * 1024
"""Bytes that judging may take, by default, in all processes together."""

_EXPANDS_BY: Final = 11
"""Bytes of memory that judging takes for each byte of facts on the disk; measured: 4.4 to 9.8.

Not bounded by it are the alerts themselves: each carries its evidence, so that one actor of
thousands of alerts and hundreds of rows of evidence takes 20 kB an alert.
"""


class OutOfMemory(MasswatchError):
    """The facts of some tenants do not fit into the memory allowed."""


def run(
    of: Slice,
    question: Question,
    *,
    processes: int = 1,
    memory: int = MEMORY,
    watch: Watch = lambda _: None,
) -> Backtest:
    """Judge a slice by one or more policies; the answer does not depend on how it is cut.

    Args:
        of: What to read.
        question: What to ask of it.
        processes: How many scan side by side; 1 stays in this process.
        memory: Bytes that judging may take.
        watch: Told now and then how far the scan is, in this process.

    Raises:
        ConfigError: a file cannot be read.
        BrokerUnavailable: the broker does not answer.
        OutOfMemory: one group of tenants has more facts than fit.
    """
    readings = readings_of(question.policies)
    with tempfile.TemporaryDirectory(prefix="masswatch-backtest-") as name:
        folder = Path(name)
        work = Work(folder, readings, of.tenants, question)
        counted = Counted()
        with _processes(work, min(processes, len(of.shards))) as workers:
            for part in workers.scan(of.shards, watch):
                counted.add(part)
            buckets, at_once = _fitting(folder, memory)
            judging = workers if processes <= at_once else Here(work)
            said, differences = _joined(question, judging.judge(buckets))
    return Backtest(
        sources=of.sources,
        since=question.since,
        until=question.until,
        read=counted.read(),
        answers=tuple(
            Answer(by, ordered(said.alerts), ordered(said.withheld), said.quiet)
            for by, said in zip(question.policies, said, strict=True)
        ),
        differences=tuple(
            tuple(sorted(found, key=lambda one: (one.after.event_time, one.after.alert_id)))
            for found in differences
        ),
        warnings=of.warnings,
    )


def _processes(work: Work, count: int) -> Processes:
    return Beside(work, count) if count > 1 else Here(work)


def _joined(
    question: Question, judgements: Iterable[Judgement]
) -> tuple[list[Said], list[list[Difference]]]:
    said = [Said() for _ in question.policies]
    differences: list[list[Difference]] = [[] for _ in question.policies[1:]]
    for one in judgements:
        for total, more in zip(said, one.said, strict=True):
            total.add(more)
        for known, further in zip(differences, one.differences, strict=True):
            known.extend(further)
    return said, differences


def _fitting(folder: Path, memory: int) -> tuple[list[int], int]:
    """Return the buckets that hold something, the largest first, and how many fit at once.

    Raises:
        OutOfMemory: the largest does not fit.
    """
    sizes = {bucket: spilled_bytes(folder, bucket) for bucket in range(BUCKETS)}
    largest_first = sorted((bucket for bucket in sizes if sizes[bucket]), key=lambda of: -sizes[of])
    takes = [_EXPANDS_BY * total for total in accumulate(sizes[of] for of in largest_first)]
    if takes and takes[0] > memory:
        raise OutOfMemory(
            f"backtest: some tenants' facts would take {takes[0] >> 20} MiB, allowed are "
            f"{memory >> 20}: raise --memory, or ask for single tenants or less time"
        )
    at_once = sum(one <= memory for one in takes)
    return largest_first, max(at_once, 1) if at_once < len(takes) else BUCKETS
