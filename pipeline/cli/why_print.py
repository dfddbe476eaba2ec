"""Print why an event became an alert, or did not: words first, colours only beside them."""

import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.cli.output import visible
from pipeline.core.event_time import format_event_time
from pipeline.core.explain import Explanation, Holding, ReasonExplained, Weighed, WeighedEntry
from pipeline.core.policy import Reason
from pipeline.core.verdict import Outcome
from pipeline.why import words
from pipeline.why.actor_search import ActorRows
from pipeline.why.answer import Live, Why
from pipeline.why.event_search import RecordSeen

_PIPE_WIDTH: Final = 200
_FACTS_AT_MOST: Final = 20
_RECORDS_AT_MOST: Final = 5
_TRUTH: Final = {True: ("true", "green"), False: ("FALSE", "bold red"), None: ("?", "yellow")}
_HOLDING: Final = {
    Holding.HOLDS: ("HOLDS", "bold red"),
    Holding.WITHHELD: ("WITHHELD", "yellow"),
    Holding.ABSENT: ("does not hold", "green"),
}
_OUTCOME: Final = {Outcome.ALERT: "bold red", Outcome.WITHHELD: "yellow", Outcome.QUIET: "green"}


def print_why(why: Why) -> None:
    """Print all of it."""
    _Page(why).print()


class _Page:
    def __init__(self, why: Why) -> None:
        self._why = why
        width = None if sys.stdout.isatty() else _PIPE_WIDTH
        self._console = Console(width=width, highlight=False)

    def print(self) -> None:
        why, explanation = self._why, self._why.explanation
        self._head()
        for one in why.records[:_RECORDS_AT_MOST]:
            self._record(one)
        self._left_out(why.records, _RECORDS_AT_MOST, "records of this event")
        if explanation is None:
            self._title(f"Verdict: {words.no_assignment(why.records)}")
            return
        for reason in explanation.reasons:
            self._reason(reason, explanation)
        self._graph(explanation)
        self._verdict(explanation)
        if why.live is not None:
            self._live(why.live)

    def _head(self) -> None:
        why, explanation = self._why, self._why.explanation
        if explanation is None:
            self._line(words.no_assignment(why.records), "bold")
        else:
            verdict = explanation.verdict
            of = verdict.assignment
            who = of.identity or of.actor.upn or of.actor.object_id or "somebody"
            self._line(words.outcome(explanation), _OUTCOME[verdict.outcome])
            self._line(
                f'{who}: {of.operation} of "{of.app.name}", Required for '
                f"{' and '.join(verdict.target_types)}, at {format_event_time(of.event_time)}"
            )
        asked = why.asked
        self._line(f"tenant {asked.tenant_id}, event {asked.audit_event_id}, in {why.place}", "dim")

    def _record(self, record: RecordSeen) -> None:
        self._title(f"Record {record.position}: {record.became}")
        rows = [
            (Text(*_TRUTH[one.holds]), Text(one.asks), Text(visible(one.found), "dim"))
            for one in record.conditions
        ]
        self._table(rows, ("holds", "condition", "found"))

    def _reason(self, one: ReasonExplained, explanation: Explanation) -> None:
        word, colour = _HOLDING[one.holding]
        said = visible(words.found(one))
        self._console.print()
        self._console.print(
            Text.assemble((f"Reason {one.reason}: ", "bold"), (word, colour), f", {said}")
        )
        is_of_rows = one.reason is not Reason.DELEGATED_ADMIN
        within = f", {words.window(explanation.windows.evidence)}" if is_of_rows else ""
        self._line(f"  asks: {words.asks(one.reason)}{within}", "dim")
        self._facts(one.counting, one.near_misses, explanation)
        if one.entries:
            self._table([_entry(of) for of in one.entries])
        by_rule = [of for of in self._why.actor_rows or () if of.row.reason is one.reason]
        if by_rule:
            self._table([_actor_rows(of) for of in by_rule[:_FACTS_AT_MOST]])
            self._left_out(by_rule, _FACTS_AT_MOST, "kinds of rows that never count")

    def _graph(self, explanation: Explanation) -> None:
        count = len(explanation.graph)
        self._title(f"Graph activity: {f'{count} found' if count else 'none found'}")
        self._line(
            "  never a reason; asks: ClientRequestId is the event's CorrelationId, "
            f"{words.window(explanation.windows.graph)}",
            "dim",
        )
        self._facts(explanation.graph, explanation.graph_near_misses, explanation)

    def _facts(
        self, counting: Sequence[Weighed], near: Sequence[Weighed], explanation: Explanation
    ) -> None:
        shown = (*counting[:_FACTS_AT_MOST], *near[:_FACTS_AT_MOST])
        if shown:
            self._table([self._fact(one, explanation) for one in shown])
        self._left_out(counting, _FACTS_AT_MOST, "that count")
        self._left_out(near, _FACTS_AT_MOST, "that do not count")

    def _fact(self, one: Weighed, explanation: Explanation) -> tuple[Text, ...]:
        barred = "; ".join(words.obstacle(of, explanation.matching) for of in one.obstacles)
        when = f"{format_event_time(one.fact.event_time)}, {words.apart(one.apart)}"
        return (
            Text("counts", "red") if one.counts else Text("does not", "yellow"),
            Text.assemble(
                visible(words.says(one.fact)),
                (f"\n{visible(barred)}" if barred else "", "yellow"),
                (f"\n{when}, at {self._why.positions[one.fact]}", "dim"),
            ),
        )

    def _verdict(self, explanation: Explanation) -> None:
        verdict = explanation.verdict
        self._title(f"Verdict: {words.outcome(explanation)}", _OUTCOME[verdict.outcome])
        if verdict.outcome is Outcome.ALERT:
            self._line(f"  severity: {words.severity(explanation)}")
        self._line(f"  alert id {verdict.alert_id}, policy {self._why.policy_digest}", "dim")

    def _live(self, live: Live) -> None:
        word, colour = ("agrees", "green") if live.agrees else ("DIFFERS", "bold red")
        said = f": {words.last_revision(live.last)}"
        self._console.print(Text.assemble(("  live ", "bold"), (word, colour), said))
        if live.differing:
            self._line(f"  would now differ in: {', '.join(live.differing)}")
        if hint := words.live_hint(live, self._why.policy_digest):
            self._line(f"  {hint}", "yellow")

    def _title(self, text: str, style: str = "bold") -> None:
        self._console.print()
        self._line(text, style)

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(visible(text), style))

    def _left_out(self, of: Sequence[object], at_most: int, what: str) -> None:
        if len(of) > at_most:
            self._line(f"  and {len(of) - at_most} more {what}: see --output json", "dim")

    def _table(self, rows: Sequence[Sequence[Text]], columns: Sequence[str] = ()) -> None:
        table = Table(box=None, show_header=bool(columns), pad_edge=False)
        for name in columns or ("", ""):
            table.add_column(name, overflow="fold")  # who reads this wants to copy ids whole
        for row in rows:
            table.add_row(*row)
        self._console.print(Padding(table, (0, 0, 0, 2)))


def _entry(one: WeighedEntry) -> tuple[Text, ...]:
    entry = one.entry
    held = f"from {format_event_time(entry.since)} until {format_event_time(entry.until)}"
    return (
        Text("applies", "yellow") if one.takes_from else Text("does not"),
        Text.assemble(
            visible(f"allow-list entry {entry.name}: {words.entry(one)}"),
            (f"\n{visible(f'owner {entry.owner}, cause {entry.cause}')}, {held}", "dim"),
        ),
    )


def _actor_rows(of: ActorRows) -> tuple[Text, ...]:
    return (
        Text("never", "yellow"),
        Text.assemble(visible(words.actor_rows(of)), (f", at {of.position}", "dim")),
    )
