"""What `masswatch replay` prints: what it would write, and what it has written."""

from collections.abc import Sequence
from typing import Final

import typer

from pipeline.adapters.kafka_slice import Range
from pipeline.cli.output import Output, print_json, print_table
from pipeline.core.event_time import EventTime, format_event_time
from pipeline.replay.replay import Replayed
from pipeline.replay.routes import Placement, Route

_TICKS_PER_MS: Final = 10_000


def print_plan(routes: Sequence[Route], ranges: Sequence[Range], output: Output) -> None:
    """Print what would be written; without ranges, what is read are files."""
    offsets = {
        one.source: sum(len(each) for each in ranges if each.topic == one.source) for one in routes
    }
    if output is Output.JSON:
        print_json(
            [
                {
                    "source": one.source,
                    "topic": one.target,
                    "records_at_most": offsets[one.source] if ranges else None,
                    "partitions": one.partitions,
                    "placement": one.placement.value,
                    "record_times": _times(one),
                    "is_created": one.is_new,
                }
                for one in routes
            ]
        )
        return
    print_table(
        ("from", "into", "records at most", "partitions", "placed", "record times", "created"),
        [
            (
                one.source,
                one.target,
                f"{offsets[one.source]:,}" if ranges else "all lines and rows",
                str(one.partitions),
                one.placement.value,
                _times(one),
                "yes" if one.is_new else "no",
            )
            for one in routes
        ],
    )


def _times(route: Route) -> str:
    if not route.keeps_times:
        return "set by the topic"
    return "of the writing" if route.placement is Placement.ANY else "kept"


def print_replayed(replayed: Replayed, routes: Sequence[Route], output: Output) -> None:
    """Print what was written."""
    up_to = (
        format_event_time(EventTime(replayed.up_to_ms * _TICKS_PER_MS))
        if replayed.up_to_ms
        else None
    )
    if output is Output.JSON:
        print_json(
            {
                "topics": [
                    {
                        "source": one.source,
                        "topic": one.target,
                        "sent": replayed.sent[one.target],
                        "confirmed": replayed.confirmed[one.target],
                        "record_times": _times(one),
                    }
                    for one in routes
                ],
                "failures": [
                    {"topic": one.topic, "values": one.values, "first": str(one.first)}
                    | {"reason": one.error.str()}
                    for one in replayed.failures
                ],
                "stopped": replayed.stopped,
                "up_to": up_to,
            }
        )
        return
    print_table(
        ("from", "into", "sent", "confirmed", "record times"),
        [
            (
                one.source,
                one.target,
                f"{replayed.sent[one.target]:,}",
                f"{replayed.confirmed[one.target]:,}",
                _times(one),
            )
            for one in routes
        ],
    )
    if (replayed.stopped or replayed.failures or replayed.ended_by) and up_to:
        typer.echo(f"ended before the end: go on with --from {up_to}")
