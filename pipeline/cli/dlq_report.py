"""What `masswatch dlq` prints; nothing of a record gets to the terminal unescaped."""

import base64
import json
import sys
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from pipeline.adapters.kafka_replay import ReplayProducer
from pipeline.cli.output import Output, print_json, print_table, visible
from pipeline.core.event_time import EventTime, format_event_time
from pipeline.dlq.letter import Letter, Origin
from pipeline.dlq.redrive import Redriven
from pipeline.dlq.rereading import Reread
from pipeline.dlq.summary import Kind
from pipeline.sources.decode import taken_apart
from pipeline.sources.outcome import Malformed

SHOWN_AT_MOST: Final = 20
"""Letters that are shown of one source record."""

_TICKS_PER_MS: Final = 10_000
_LINES_AT_MOST: Final = 200
_LETTERS_AT_MOST: Final = 20
_LINE_AT_MOST: Final = 2_000


@dataclass(frozen=True, slots=True)
class Shown:
    """A letter, and what its record would become today."""

    letter: Letter
    reread: Reread


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a redrive ended; without a sender it wrote nothing."""

    done: Redriven
    sender: ReplayProducer | None
    stopped: bool


def print_kinds(kinds: Sequence[Kind], limit: int, strange: int, output: Output) -> None:
    """Print letters counted by topic and reason."""
    if output is Output.JSON:
        print_json(
            {
                "letters": sum(one.letters for one in kinds),
                "kinds": [_kind(one) for one in kinds[:limit]],
                "kinds_left_out": max(0, len(kinds) - limit),
                "no_letters": strange,
            }
        )
        return
    if kinds:
        print_table(
            ("topic", "reason", "letters", "redriven", "first", "last", "latest"),
            [
                (
                    _cell(one.topic),
                    _cell(one.reason),
                    f"{one.letters:,}",
                    f"{one.redriven:,}",
                    _time(one.first_ms),
                    _time(one.last_ms),
                    _cell(str(one.latest)),
                )
                for one in kinds[:limit]
            ],
        )
    else:
        typer.echo("no dead letters")
    if len(kinds) > limit:
        typer.echo(f"and {len(kinds) - limit} more: raise --limit")
    if strange:
        typer.echo(f"{strange} records in the DLQs are no dead letters of theirs", err=True)


def print_letters(
    shown: Sequence[Shown], noted: AbstractSet[Origin], count: int, output: Output
) -> None:
    """Print letters with their records; `count` are all that there are."""
    if output is Output.JSON:
        print_json([_letter(one, noted) for one in shown])
    else:
        page = _Page()
        for one in shown:
            page.letter(one, is_redriven=one.letter.origin in noted)
    if count > len(shown):
        typer.echo(f"and {count - len(shown)} more letters of this value", err=True)


def print_redriven(outcome: Outcome, output: Output) -> None:
    """Print what was sent, or would be."""
    done, sender = outcome.done, outcome.sender
    confirmed = {topic: sender.confirmed[topic] if sender else 0 for topic in done.letters}
    if output is Output.JSON:
        print_json(
            {
                "dry_run": sender is None,
                "topics": [
                    {
                        "topic": topic,
                        "letters": done.letters[topic],
                        "values": done.values[topic],
                        "confirmed": confirmed[topic],
                        "skipped": _skipped(done, topic),
                    }
                    for topic in sorted(done.letters)
                ],
                "first": [
                    {
                        "at": str(one.at),
                        "source": str(one.source),
                        "reason": one.reason,
                        "redrives": one.redrives,
                    }
                    for one in done.first
                ],
                "failures": [
                    {"topic": one.topic, "values": one.values, "first": str(one.first)}
                    | {"reason": one.error.str()}
                    for one in done.failures
                ],
                "stopped": outcome.stopped,
                "reached_limit": done.reached_limit,
            }
        )
        return
    if not done.letters:
        typer.echo("no dead letter is asked for: see masswatch dlq list")
        return
    print_table(
        ("topic", "letters", "values to send" if sender is None else "values sent", "confirmed"),
        [
            (
                _cell(topic),
                f"{done.letters[topic]:,}",
                f"{done.values[topic]:,}",
                "none, dry run" if sender is None else f"{confirmed[topic]:,}",
            )
            for topic in sorted(done.letters)
        ],
    )
    if done.skipped:
        typer.echo("\nletters left out:")
        print_table(
            ("topic", "letters", "why"),
            [
                (_cell(topic), f"{count:,}", why.value)
                for (topic, why), count in sorted(done.skipped.items())
            ],
        )
    if sender is None and done.first:
        typer.echo("\nthe first that would be sent:")
        print_table(
            ("letter", "source", "reason", "redrives so far"),
            [
                (_cell(str(one.at)), _cell(str(one.source)), _cell(one.reason), str(one.redrives))
                for one in done.first[:_LETTERS_AT_MOST]
            ],
        )
    if done.reached_limit:
        typer.echo("ended at --limit: more are left")


class _Page:
    def __init__(self) -> None:
        # Lines are printed as they are: who reads this wants to copy them.
        self._console = Console(highlight=False, soft_wrap=True)

    def letter(self, one: Shown, *, is_redriven: bool) -> None:
        letter, reread = one.letter, one.reread
        self._line(f"Dead letter {letter.at}: {letter.reason}", "bold")
        self._line(f"  record   {letter.source}, appended {_time(letter.origin.time_ms)}")
        self._line(f"  kept     {_time(letter.record.time_ms)}")
        if reread.is_refused:
            self._line(f"  today    refused again: {reread.outcome}", "yellow")
        else:
            self._line(f"  today    can be read: {reread.outcome}", "green")
        again = "yes" if is_redriven else "not yet"
        self._line(f"  redriven {again}; {letter.redrives} times before it became this letter")
        if letter.cut_from is not None:
            self._line(f"  cut      the value had {letter.cut_from:,} bytes; not to be redriven")
        key = letter.record.key
        self._line(f"  key      {'none' if key is None else _bytes_as_text(key)}")
        for name, of in letter.headers:
            self._line(f"  header   {name}: {'nothing' if of is None else _bytes_as_text(of)}")
        self._record(_pretty(letter))

    def _record(self, text: str) -> None:
        lines = text.split("\n")
        for line in lines[:_LINES_AT_MOST]:
            cut = len(line) - _LINE_AT_MOST
            self._line(f"    {line[:_LINE_AT_MOST]}" + (f" … {cut:,} more" if cut > 0 else ""))
        if len(lines) > _LINES_AT_MOST:
            self._line(f"    … {len(lines) - _LINES_AT_MOST:,} lines more: see --output json")
        self._console.print()

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(visible(text), style))
        sys.stdout.flush()


def _kind(one: Kind) -> dict[str, object]:
    return {
        "topic": one.topic,
        "reason": one.reason,
        "letters": one.letters,
        "redriven": one.redriven,
        "first": _time(one.first_ms),
        "last": _time(one.last_ms),
        "latest": str(one.latest),
    }


def _letter(one: Shown, noted: AbstractSet[Origin]) -> dict[str, object]:
    letter, reread = one.letter, one.reread
    return {
        "at": str(letter.at),
        "source": str(letter.source),
        "index": letter.index,
        "reason": letter.reason,
        "appended": _time(letter.origin.time_ms),
        "dead_lettered": _time(letter.record.time_ms),
        "refused_today": reread.is_refused,
        "today": reread.outcome,
        "redrives": letter.redrives,
        "is_redriven": letter.origin in noted,
        "cut_from": letter.cut_from,
        "key": _for_json(letter.record.key),
        "headers": [{"name": name, "value": _for_json(of)} for name, of in letter.headers],
        "record": _record_of(letter),
        "value": _for_json(letter.record.value),
    }


def _skipped(done: Redriven, topic: str) -> dict[str, int]:
    return {why.value: count for (of, why), count in sorted(done.skipped.items()) if of == topic}


def _record_of(letter: Letter) -> object:
    """Return the record that the letter is for, as JSON; None when it cannot be had apart."""
    if not letter.record.value:
        return None
    records = taken_apart(letter.record.value)
    found = [record for index, record in records if index == letter.index]
    return found[0] if found and not isinstance(found[0], Malformed) else None


def _pretty(letter: Letter) -> str:
    value, record = letter.record.value, _record_of(letter)
    if record is not None:
        return json.dumps(record, indent=2, ensure_ascii=False)
    return "no value" if value is None else _bytes_as_text(value)


def _bytes_as_text(of: bytes) -> str:
    return of.decode(errors="backslashreplace")


def _for_json(of: bytes | None) -> object:
    if of is None:
        return None
    try:
        return of.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(of).decode()}


def _cell(text: str) -> str:
    return escape(visible(text))


def _time(time_ms: int) -> str:
    return format_event_time(EventTime(time_ms * _TICKS_PER_MS))
