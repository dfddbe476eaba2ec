"""A backtest as one HTML page for a customer: it needs no network and no script to be read."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pipeline.backtest.result import Answer, Backtest, Change, Difference, Judged
from pipeline.core.errors import ConfigError
from pipeline.core.policy import Severity
from pipeline.core.verdict import DETECTION_ID, DETECTION_TITLE, DETECTION_VERSION, TECHNIQUES
from pipeline.extra import needed
from pipeline.report.charts import (
    HALF,
    NARROW,
    WIDE,
    Spec,
    bars,
    binned,
    by_tenant,
    days_per_bin,
    over_time,
    svg_of,
)
from pipeline.report.figures import Bucket, Days, Figures, figures_of
from pipeline.report.timeline import (
    Row,
    listed,
    moment_in_words,
    reason_in_words,
    row_of,
    span_in_words,
)

ALERTS_AT_MOST: Final = 1_000
TENANTS_AT_MOST: Final = 100
ROWS_AT_MOST: Final = 200
"""What a page lists of differences between two policies, and of withheld assignments."""

_TEMPLATE: Final = "page.html.jinja"
_STYLE: Final = "page.css"
_MOST_URGENT_FIRST: Final = tuple(reversed(Severity))


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, what it says to those who cannot see it, and its numbers."""

    title: str
    alt: str
    svg: str
    narrow: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """What another policy says otherwise than the first."""

    answer: Answer
    changes: tuple[tuple[Change, int], ...]
    causes: tuple[tuple[str, int], ...]
    rows: tuple[tuple[Difference, Row], ...]
    left_out: int


def write_page(path: Path, backtest: Backtest) -> None:
    """Write a backtest as one HTML page; the same backtest gives the same bytes.

    Raises:
        ConfigError: the file cannot be written, or a library that this needs is not installed.
    """
    page = page_of(backtest)
    try:
        path.write_bytes(page)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a file that can be written") from error


def page_of(backtest: Backtest) -> bytes:
    """Return the page; texts of the records stand in it as text, whatever they hold.

    Raises:
        ConfigError: a library that this needs is not installed.
    """
    jinja2 = needed("jinja2")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "moment": moment_in_words, "span": span_in_words}
    page: str = environment.from_string(_packaged(_TEMPLATE)).render(_content(backtest))
    # A file name may hold bytes that are no text.
    return page.encode("utf-8", "replace")


def _content(backtest: Backtest) -> dict[str, Any]:
    answer = backtest.answers[0]
    figures = figures_of(backtest, answer)
    shown = most_urgent(answer.alerts)
    window = answer.by.policy.windows.evidence
    return {
        "style": _packaged(_STYLE),
        "detection": f"{DETECTION_ID} {DETECTION_VERSION}",
        "detection_title": DETECTION_TITLE,
        "techniques": ", ".join(TECHNIQUES),
        "backtest": backtest,
        "answer": answer,
        "figures": figures,
        "slice": _slice(backtest),
        "days": _days(figures.days) if figures.days else "",
        "summary": _summary(answer, figures),
        "severities": _MOST_URGENT_FIRST,
        "over_time": _over_time(figures),
        "charts": _charts(figures),
        "lateness": _lateness(figures),
        "tenants": figures.by_tenant[:TENANTS_AT_MOST],
        "tenants_left_out": figures.by_tenant[TENANTS_AT_MOST:],
        "noise_note": _noise_note(backtest),
        "withheld": [row_with_entries(one) for one in islice(answer.withheld, ROWS_AT_MOST)],
        "withheld_left_out": max(0, len(answer.withheld) - ROWS_AT_MOST),
        "compared": [
            _compared(after, found)
            for after, found in zip(backtest.answers[1:], backtest.differences, strict=True)
        ],
        "alerts": [listed(one.verdict, window) for one in shown],
        "alerts_left_out": len(answer.alerts) - len(shown),
        "malformed": sum(one.records for one in backtest.read.malformed),
    }


def most_urgent(alerts: Sequence[Judged]) -> list[Judged]:
    """Return the alerts that a page has room for: the most severe, of these the latest."""
    if len(alerts) <= ALERTS_AT_MOST:
        return list(alerts)
    urgency = {severity: number for number, severity in enumerate(Severity)}
    places = sorted(
        range(len(alerts)), key=lambda place: (urgency[alerts[place].verdict.severity], place)
    )
    return [alerts[place] for place in sorted(places[-ALERTS_AT_MOST:])]


def row_with_entries(judged: Judged) -> tuple[Row, str]:
    """Return a withheld assignment in one line, and the entries that took its reasons away."""
    entries = sorted({one.entry for one in judged.verdict.withheld})
    return row_of(judged.verdict), ", ".join(entries)


def _summary(answer: Answer, figures: Figures) -> str:
    alerts, tenants = len(answer.alerts), sum(one.alerts > 0 for one in figures.by_tenant)
    span = f"In {_many(figures.days.count, 'day')}, " if figures.days else ""
    if not alerts:
        said = f"{span}Masswatch would have raised no alert."
    else:
        severities = [
            f"{figures.by_severity[one]:,} {one.value}"
            for one in _MOST_URGENT_FIRST
            if figures.by_severity[one]
        ]
        said = (
            f"{span}Masswatch would have raised {_many(alerts, 'alert')} for "
            f"{_many(tenants, 'tenant')}: {_listing(severities)}. "
            f"On half of the days there {_at_most(figures.noise.p50)}, on 95\N{NO-BREAK SPACE}% "
            f"of the days there {_at_most(figures.noise.p95)}, all tenants together."
        )
    return said[0].upper() + said[1:]


def _over_time(figures: Figures) -> Chart | None:
    days = figures.days
    if days is None or not figures.by_day:
        return None
    present = [one for one in _MOST_URGENT_FIRST if figures.by_severity[one]]
    bins = binned(figures.by_day, days, days_per_bin(days, WIDE))
    most = max(bins, key=lambda one: one.by_severity.total())
    return Chart(
        title="Alerts over time",
        alt=(
            f"bar chart of alerts over time, by severity: {_days(days)}; most in the bar that "
            f"begins on {_date(most.first)}: {_many(most.by_severity.total(), 'alert')}"
        ),
        **_drawn(partial(over_time, figures.by_day, days), WIDE),
        heads=("from", *(one.value for one in present), "all"),
        rows=tuple(
            (
                one.first.isoformat(),
                *(f"{one.by_severity[each]:,}" for each in present),
                f"{one.by_severity.total():,}",
            )
            for one in bins
        ),
    )


def _charts(figures: Figures) -> list[Chart]:
    if not figures.by_day:
        return []
    noisy = [one for one in figures.by_tenant if one.alerts]
    tenants = Chart(
        title="By tenant",
        alt=f"bar chart of alerts by tenant: {_many(len(noisy), 'tenant')}; the numbers follow",
        **_drawn(partial(by_tenant, noisy), HALF),
        heads=("tenant", *(one.value for one in _MOST_URGENT_FIRST), "all"),
        rows=tuple(
            (
                one.tenant_id,
                *(f"{one.by_severity[each]:,}" for each in _MOST_URGENT_FIRST),
                f"{one.alerts:,}",
            )
            for one in noisy[:TENANTS_AT_MOST]
        ),
    )
    reasons = [(reason_in_words(reason), count) for reason, count in figures.by_reason.items()]
    severities = [(one.value, figures.by_severity[one]) for one in _MOST_URGENT_FIRST]
    return [
        tenants,
        _named("By reason", "reason", reasons),
        _named("By severity", "severity", severities),
    ]


def _lateness(figures: Figures) -> list[Chart]:
    if not figures.by_day:
        return []
    charts = [_bucketed("When the deciding evidence happened", figures.decided)]
    if figures.known:
        charts.append(_bucketed("When the last record needed had arrived", figures.known))
    return charts


def _named(title: str, head: str, counts: Sequence[tuple[str, int]]) -> Chart:
    said = "; ".join(f"{name} {count:,}" for name, count in counts)
    return Chart(
        title=title,
        alt=f"bar chart of alerts {title.lower()}: {said}",
        **_drawn(partial(bars, counts), HALF),
        heads=(head, "alerts"),
        rows=tuple((name, f"{count:,}") for name, count in counts),
    )


def _bucketed(title: str, buckets: Sequence[Bucket]) -> Chart:
    said = "; ".join(f"{one.name} {one.alerts:,}" for one in buckets)
    return Chart(
        title=title,
        alt=f"bar chart, alerts by time after the assignment: {said}",
        **_drawn(partial(bars, [(one.name, one.alerts) for one in buckets]), HALF),
        heads=("after the assignment", "alerts"),
        rows=tuple((one.name, f"{one.alerts:,}") for one in buckets),
    )


def _drawn(spec: Callable[[int], Spec], width: int) -> dict[str, str]:
    return {"svg": svg_of(spec(width)), "narrow": svg_of(spec(NARROW))}


def _compared(after: Answer, found: Sequence[Difference]) -> Compared:
    changes = Counter(one.change for one in found)
    causes = Counter(cause for one in found for cause in one.causes)
    return Compared(
        answer=after,
        changes=tuple((change, changes[change]) for change in Change),
        causes=tuple(sorted(causes.items(), key=lambda one: (-one[1], one[0]))),
        rows=tuple((one, _row_of(one)) for one in found[:ROWS_AT_MOST]),
        left_out=max(0, len(found) - ROWS_AT_MOST),
    )


def _row_of(one: Difference) -> Row:
    return row_of(one.before if one.change is Change.GONE else one.after)


def _slice(backtest: Backtest) -> str:
    since, until = backtest.since, backtest.until
    if since is None and until is None:
        return "all assignments read"
    first = f" from {moment_in_words(since)}" if since is not None else ""
    end = f" up to {moment_in_words(until)}" if until is not None else ""
    return f"assignments{first}{end} (UTC)"


def _noise_note(backtest: Backtest) -> str:
    open_ends = [
        f"the {end} day is that of the {edge} alert or withheld assignment"
        for end, edge, bound in (
            ("first", "earliest", backtest.since),
            ("last", "latest", backtest.until),
        )
        if bound is None
    ]
    return f"The slice has open ends, so {' and '.join(open_ends)}." if open_ends else ""


def _days(days: Days) -> str:
    if days.first == days.last:
        return _date(days.first)
    return f"{_date(days.first)} to {_date(days.last)}"


def _date(day: date) -> str:
    return f"{day.day} {day:%B} {day.year}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _at_most(count: int) -> str:
    return f"{'was' if count == 1 else 'were'} at most {count:,}" if count else "was none"


def _listing(parts: Iterable[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def _number(count: int) -> str:
    return f"{count:,}"


def _packaged(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
