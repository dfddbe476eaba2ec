"""A picture of a result: `python -m tests.bench.plot result.json docs/bench.svg`.

One line for each way of reading, on a logarithmic axis: a mark at the median of the CPU per record
and a bar from the least to the most, for each codec, and for envelopes. The same result gives the
same bytes. The colours can be read on light and on dark.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from xml.sax.saxutils import escape

from .table import Row, rows

WIDTH: Final = 860
_LEFT: Final = 320
_RIGHT: Final = 700
_LINE: Final = 26
_GAP: Final = 7
_SHAPES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "uncompressed": ("#2f81f7", "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z"),
        "lz4": ("#d4772c", "M-5,-5h10v10h-10z"),
        "zstd": ("#8957e5", "M0,-6l6,6l-6,6l-6,-6z"),
    }
)
_TITLE: Final = "CPU for each record, µs (logarithmic, less is better)"
_STYLE: Final = """\
text { font: 13px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600; font-size: 14px }
.ours { font-weight: 600 }
.grid { stroke: #8b949e; stroke-opacity: .3 }
@media (prefers-color-scheme: dark) { text { fill: #b1bac4 } }
"""


@dataclass(frozen=True, slots=True)
class _Panel:
    """Ways of reading under a title, each with its rows, one for each codec."""

    title: str
    ways: Mapping[str, Sequence[Row]]


def main() -> None:
    """Draw a result into a file."""
    source, target = map(Path, sys.argv[1:])
    target.write_text(picture(json.loads(source.read_text())))


def picture(result: Mapping[str, Any]) -> str:
    """Return the SVG of a result, of what it has of `throughput` and `envelopes`."""
    panels = [
        _panel(result, "throughput", "a record of 1.75 kB a value, 1 % of them decoded"),
        _panel(result, "envelopes", "envelopes of 130 records"),
    ]
    panels = [panel for panel in panels if panel.ways]
    figures = [
        end
        for panel in panels
        for found in panel.ways.values()
        for row in found
        for end in (row.figure.lowest, row.figure.highest)
    ]
    axis = _Axis(math.floor(math.log10(min(figures))), math.ceil(math.log10(max(figures))))
    drawn: list[str] = []
    top = 46
    for panel in panels:
        drawn += _drawn(panel, axis, top)
        top += _LINE * (len(panel.ways) + 2) + 8
    machine = result["machine"]
    about = f"{machine['cpu']}, Python {machine['python']}, {machine['date']}, {machine['commit']}"
    drawn.append(f'<text x="8" y="{top + 4}" font-size="11">{escape(about)}</text>')
    size = f'viewBox="0 0 {WIDTH} {top + 12}" width="{WIDTH}" height="{top + 12}"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{_TITLE}</title>",
            f"<style>\n{_STYLE}</style>",
            *_legend(panels),
            *drawn,
            "</svg>\n",
        )
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """Powers of ten from the left edge to the right one."""

    first: int
    last: int

    def at(self, value: float) -> float:
        """Return where a value lies."""
        share = (math.log10(value) - self.first) / (self.last - self.first)
        return round(_LEFT + share * (_RIGHT - _LEFT), 1)


def _panel(result: Mapping[str, Any], part: str, title: str) -> _Panel:
    ways: dict[str, list[Row]] = {}
    for row in rows({part: result[part]} if part in result else {}):
        if row.speed is not None:
            ways.setdefault(row.what, []).append(row)
    return _Panel(title, ways)


def _legend(panels: Sequence[_Panel]) -> Iterator[str]:
    yield f'<text class="title" x="8" y="20">{_TITLE}</text>'
    codecs = {_codec(row): None for one in panels for found in one.ways.values() for row in found}
    for place, codec in enumerate(codecs):
        x = _LEFT + 130 + place * 130
        yield _mark(codec, x + 6, 16)
        yield f'<text x="{x + 18}" y="20">{escape(codec)}</text>'


def _drawn(panel: _Panel, axis: _Axis, top: int) -> Iterator[str]:
    bottom = top + _LINE * (len(panel.ways) + 1)
    yield f'<text class="title" x="8" y="{top + 14}">{escape(panel.title)}</text>'
    for power in range(axis.first, axis.last + 1):
        x = axis.at(10**power)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{top + 20}" y2="{bottom}"/>'
        yield f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{10**power:g}</text>'
    for number, (way, found) in enumerate(panel.ways.items(), 1):
        y = top + _LINE * number + 12
        ours = ' class="ours"' if way.startswith("masswatch") else ""
        yield f'<text{ours} x="8" y="{y + 4}">{escape(way)}</text>'
        for place, row in enumerate(found):
            yield from _measured(row, axis, y + _GAP * (place - (len(found) - 1) / 2))
        figures = " / ".join(f"{row.figure.median:.3g}" for row in found)
        yield f'<text{ours} x="{_RIGHT + 14}" y="{y + 4}">{figures}</text>'


def _measured(row: Row, axis: _Axis, y: float) -> Iterator[str]:
    colour, _ = _look(_codec(row))
    low, high = axis.at(row.figure.lowest), axis.at(row.figure.highest)
    yield f'<line x1="{low}" x2="{high}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
    yield _mark(_codec(row), axis.at(row.figure.median), y)


def _mark(codec: str, x: float, y: float) -> str:
    colour, path = _look(codec)
    return f'<path transform="translate({x},{y})" d="{path}" fill="{colour}"/>'


def _look(codec: str) -> tuple[str, str]:
    return _SHAPES.get(codec, ("#6e7781", "M-5,4h10l-5,-9z"))


def _codec(row: Row) -> str:
    return row.part.rpartition(", ")[2]


if __name__ == "__main__":
    main()
