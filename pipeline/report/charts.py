"""Charts of a backtest: Vega-Lite specifications, drawn as SVG whose colours are CSS variables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from pipeline.core.policy import Severity
from pipeline.extra import needed
from pipeline.report.figures import DayAlerts, Days, TenantAlerts

WIDE: Final = 1030
HALF: Final = 490
NARROW: Final = 320
"""Widths in pixels: of a whole row of the page, of half of one, and of a row on a phone."""

Spec = dict[str, Any]
_PIXELS_PER_BAR: Final = 7
_STEPS: Final = (1, 7, 28, 91, 364)
_TENANTS_AT_MOST: Final = 10
_TENANT_LETTERS: Final = 8
_COLOUR: Final = {severity: f"var(--{severity.value})" for severity in Severity}
_INK, _MUTED, _LINE = "var(--ink)", "var(--muted)", "var(--line)"
_BAR: Final = "var(--accent)"
_CONFIG: Final[Spec] = {
    # The page speaks for a chart as a whole; Vega would name each bar, in local time.
    "aria": False,
    "font": "Arial",
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "labelColor": _MUTED,
        "labelFontSize": 12,
        "titleColor": _MUTED,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": _LINE,
        "domainColor": _LINE,
        "tickColor": _LINE,
    },
    "legend": {"labelColor": _INK, "labelFontSize": 12, "symbolType": "square"},
}


@dataclass(frozen=True, slots=True)
class Bin:
    """Some days in a row, and their alerts by severity."""

    first: date
    end: date
    by_severity: Counter[Severity]


def svg_of(spec: Spec) -> str:
    """Draw a specification; the same one gives the same SVG, whatever the time zone.

    Raises:
        ConfigError: the library that draws is not installed.
    """
    svg: str = needed("vl_convert").vegalite_to_svg(
        {"config": _CONFIG, "autosize": {"type": "fit-x", "contains": "padding"}, **spec},
        allowed_base_urls=[],
    )
    return svg


def days_per_bin(days: Days, width: int) -> int:
    """Return how many days each bar stands for, so that no bar is too thin to see."""
    least = days.count * _PIXELS_PER_BAR / width
    return next((step for step in _STEPS if step >= least), int(least // 364 + 1) * 364)


def binned(by_day: Iterable[DayAlerts], days: Days, step: int) -> tuple[Bin, ...]:
    """Add up days, `step` at a time from the first day on; those without alerts are left out."""
    sums: dict[int, Counter[Severity]] = {}
    for one in by_day:
        sums.setdefault((one.day - days.first).days // step, Counter()).update(one.by_severity)
    last = days.last.toordinal()
    return tuple(
        Bin(_day(first), _day(min(first + step - 1, last) + 1), counted)
        for number, counted in sorted(sums.items())
        for first in [days.first.toordinal() + number * step]
    )


def over_time(by_day: Iterable[DayAlerts], days: Days, width: int) -> Spec:
    """Specify alerts over time, stacked by severity."""
    step = days_per_bin(days, width)
    end = _day(days.last.toordinal() + 1)
    values = [
        {"from": _moment(one.first), "to": _moment(one.end), **part}
        for one in binned(by_day, days, step)
        for part in _stacked(one.by_severity)
    ]
    span = "day" if step == 1 else "week" if step == 7 else f"{step} days"
    return {
        "width": width,
        "height": 200,
        "data": {"values": values},
        "mark": {"type": "rect", "stroke": "var(--surface)", "strokeWidth": 1},
        "encoding": {
            "x": {
                "field": "from",
                "type": "temporal",
                "title": None,
                "scale": {"type": "utc", "domain": [_moment(days.first), _moment(end)]},
                "axis": {
                    "format": "%-d %b" if days.count < 300 else "%b %Y",
                    "grid": False,
                    "labelOverlap": True,
                    "tickCount": max(2, min(days.count, width // 90)),
                },
            },
            "x2": {"field": "to"},
            "y": {
                "field": "above",
                "type": "quantitative",
                "title": f"alerts per {span}",
                "scale": {"zero": True},
                "axis": {
                    "format": ",d",
                    "tickMinStep": 1,
                    "tickCount": 5,
                    "domain": False,
                    "ticks": False,
                    "labelPadding": 6,
                    "titlePadding": 10,
                },
            },
            "y2": {"field": "below"},
            "color": _by_severity({one["severity"] for one in values}),
        },
    }


def by_tenant(tenants: Sequence[TenantAlerts], width: int) -> Spec:
    """Specify alerts by tenant, stacked by severity: those with most, and the others as one."""
    noisy = [one for one in tenants if one.alerts]
    # One bar more says nothing if it stands for a single tenant.
    shown = noisy if len(noisy) <= _TENANTS_AT_MOST + 1 else noisy[:_TENANTS_AT_MOST]
    names = short_names([one.tenant_id for one in shown])
    rows = [(name, one.by_severity) for name, one in zip(names, shown, strict=True)]
    if rest := noisy[len(shown) :]:
        others: Counter[Severity] = Counter()
        for one in rest:
            others.update(one.by_severity)
        rows.append((f"{len(rest):,} others", others))
    values = [{"name": name, **part} for name, counts in rows for part in _stacked(counts)]
    spec = bars([(name, sum(of.values())) for name, of in rows], width)
    spec["layer"][0] |= {"data": {"values": values}}
    spec["layer"][0]["encoding"] |= {
        "x": spec["encoding"]["x"] | {"field": "above"},
        "x2": {"field": "below"},
        "color": _by_severity({one["severity"] for one in values}),
    }
    return spec


def bars(rows: Sequence[tuple[str, int]], width: int) -> Spec:
    """Specify a bar for each name, with its number."""
    most = max((count for _, count in rows), default=0)
    return {
        "width": width,
        "height": {"step": 26},
        "data": {"values": [{"name": name, "alerts": count} for name, count in rows]},
        "encoding": {
            "y": {
                "field": "name",
                "type": "nominal",
                "sort": [name for name, _ in rows],
                "title": None,
                "axis": {
                    "domain": False,
                    "ticks": False,
                    "labelColor": _INK,
                    "labelLimit": 150,
                    "labelPadding": 8,
                },
            },
            "x": {
                "field": "alerts",
                "type": "quantitative",
                "axis": None,
                # Room for the number behind the longest bar.
                "scale": {"domain": [0, max(1, most) * 1.15], "nice": False},
            },
        },
        "layer": [
            {"mark": {"type": "bar", "color": _BAR, "height": 16}, "encoding": {}},
            {
                "mark": {"type": "text", "align": "left", "dx": 5, "color": _INK, "fontSize": 12},
                "encoding": {"text": {"field": "alerts", "format": ",d"}},
            },
        ],
    }


def short_names(tenants: Sequence[str]) -> list[str]:
    """Shorten tenant ids as far as they stay different, to eight letters at the least."""
    letters = _TENANT_LETTERS
    while letters < 16 and len({one[:letters] for one in tenants}) < len(tenants):
        letters += 1
    short = [one if len(one) <= letters + 1 else f"{one[:letters]}…" for one in tenants]
    if len(set(short)) == len(short):
        return short
    return [f"{number}. {one}" for number, one in enumerate(short, 1)]


def _stacked(by_severity: Mapping[Severity, int]) -> list[Spec]:
    """Pile up the severities, the most urgent at the bottom."""
    parts: list[Spec] = []
    below = 0
    for severity in reversed(Severity):
        if count := by_severity[severity]:
            parts.append({"severity": severity, "below": below, "above": below + count})
            below += count
    return parts


def _by_severity(present: Iterable[Severity]) -> Spec:
    shown = [severity for severity in reversed(Severity) if severity in set(present)]
    return {
        "field": "severity",
        "type": "nominal",
        "scale": {"domain": shown, "range": [_COLOUR[severity] for severity in shown]},
        "legend": {"title": None, "orient": "top"},
    }


def _day(ordinal: int) -> date:
    return date.fromordinal(min(ordinal, date.max.toordinal()))


def _moment(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"
