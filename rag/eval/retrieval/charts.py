"""Charts as SVG, drawn with a page's own colours: `c0`, `c1` … are the classes of series, `axis` that of lines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NUM_COLOURS = 8
_WIDTH, _LABELS, _RIGHT = 720, 130, 70
_ROW, _TOP, _BOTTOM = 30, 10, 34
_CURVE_HEIGHT = 300
_CURVE_LEFT = 50


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean between its bounds."""

    label: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bar:
    """Parts that add up, and a mark for a slow case."""

    label: str
    parts: tuple[tuple[str, float], ...]
    mark: float


def interval_chart(items: Sequence[Interval]) -> str:
    """A row for each item: a dot at its mean on a line between its bounds."""
    low, high = min(item.low for item in items), max(item.high for item in items)
    ticks = _ticks(low, high)
    scale = _Scale(min(low, ticks[0]), max(high, ticks[-1]), _LABELS, _WIDTH - _RIGHT)
    height = _TOP + _ROW * len(items)
    drawn = list(_vertical_grid(ticks, scale, height))
    for place, item in enumerate(items):
        y = _TOP + _ROW * place + _ROW / 2
        colour = f"c{place % NUM_COLOURS}"
        said = f"{item.label}: {item.mean:.3f} [{item.low:.3f}, {item.high:.3f}]"
        drawn += [
            _text(_LABELS - 12, y, item.label, "end"),
            _line(scale(item.low), scale(item.high), y, y, f"range {colour}"),
            f'<circle class="{colour}" cx="{scale(item.mean):.1f}" cy="{y}" r="6">{_title(said)}</circle>',
            _text(_WIDTH - _RIGHT + 14, y, f"{item.mean:.3f}", "start", "value"),
        ]
    return _svg(drawn, height + _BOTTOM, "means with 95% intervals")


def bar_chart(items: Sequence[Bar], unit: str) -> str:
    """A row for each item: its parts one behind the other, and a line at its mark."""
    stages = list(dict.fromkeys(name for item in items for name, _ in item.parts))
    ticks = _ticks(0.0, max(max(item.mark, sum(value for _, value in item.parts)) for item in items))
    scale = _Scale(0.0, ticks[-1], _LABELS, _WIDTH - _RIGHT)
    height = _TOP + _ROW * len(items)
    drawn = list(_vertical_grid(ticks, scale, height))
    for place, item in enumerate(items):
        y, x = _TOP + _ROW * place + _ROW / 2, 0.0
        drawn.append(_text(_LABELS - 12, y, item.label, "end"))
        for name, value in item.parts:
            colour = f"c{stages.index(name) % NUM_COLOURS}"
            width = max(scale(x + value) - scale(x), 0.5)
            drawn.append(
                f'<rect class="{colour}" x="{scale(x):.1f}" y="{y - 9}" width="{width:.1f}" height="18">'
                f"{_title(f'{name}: {value:.1f} {unit}')}</rect>"
            )
            x += value
        drawn.append(_line(scale(item.mark), scale(item.mark), y - 11, y + 11, "mark"))
        drawn.append(_text(_WIDTH - _RIGHT + 14, y, f"{x:.1f}", "start", "value"))
    return _svg(drawn, height + _BOTTOM, f"{unit} by stage")


def curve_chart(series: Mapping[str, Sequence[tuple[float, float]]], marks: Sequence[float]) -> str:
    """A line for each series of (x, y); x is logarithmic, with a tick at each of the marks."""
    points = [point for line in series.values() for point in line]
    ticks = _ticks(min(y for _, y in points), max(y for _, y in points))
    bottom = _TOP + _CURVE_HEIGHT
    across = _Scale(math.log(min(marks)), math.log(max(marks)), _CURVE_LEFT, _WIDTH - _RIGHT)
    up = _Scale(ticks[0], ticks[-1], bottom, _TOP)
    drawn = []
    for tick in ticks:
        drawn.append(
            f'<line class="axis" x1="{_CURVE_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>'
        )
        drawn.append(_text(_CURVE_LEFT - 8, up(tick), _number(tick), "end"))
    for mark in marks:
        at = across(math.log(mark))
        drawn.append(_line(at, at, _TOP, bottom))
        drawn.append(_text(at, bottom + 18, _number(mark), "middle"))
    for place, (name, line) in enumerate(series.items()):
        path = " ".join(f"{across(math.log(x)):.1f},{up(y):.1f}" for x, y in line)
        drawn.append(
            f'<polyline class="c{place % NUM_COLOURS}" points="{path}"><title>{escape(name)}</title></polyline>'
        )
    return _svg(drawn, bottom + _BOTTOM, "curves")


def legend(names: Iterable[str]) -> str:
    """Which colour is whose."""
    items = (
        f'<li><svg class="key" viewBox="0 0 10 10"><rect class="c{place % NUM_COLOURS}" width="10" height="10"/></svg>'
        f"{escape(name)}</li>"
        for place, name in enumerate(names)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places on the page."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        spread = self.high - self.low
        return self.first + (self.last - self.first) * ((value - self.low) / spread if spread else 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers around the bounds, four to ten of them."""
    spread = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(spread / 3))
    step = next(step * factor for factor in (1, 2, 5, 10) if spread / (step * factor) <= 6)  # noqa: PLR2004
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 10) for place in range(first, max(last, first + 1) + 1)]


def _vertical_grid(ticks: Sequence[float], scale: _Scale, height: float) -> Iterable[str]:
    for tick in ticks:
        at = scale(tick)
        yield _line(at, at, _TOP, height)
        yield _text(at, height + 18, _number(tick), "middle")


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y + 4.5:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, x2: float, y1: float, y2: float, kind: str = "axis") -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _number(value: float) -> str:
    return f"{value:g}"


def _svg(drawn: Iterable[str], height: float, title: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">{"".join(drawn)}</svg>'
