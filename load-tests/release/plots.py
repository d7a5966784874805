"""Plots as SVG whose colours are the page's: lines over time, and quantiles."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 1000.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 12.0, 12.0, 30.0
NINES = (0.5, 0.9, 0.95, 0.99, 0.999)  # the marks of the axis of quantiles
DECADES = 30.0  # from the least to the most above which an axis is logarithmic


class Line(NamedTuple):
    """A line, or with `area` what is below it; colours are numbers of the page's."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    area: bool = False
    dashed: bool = False


class Mark(NamedTuple):
    """A moment."""

    x: float
    words: str


def lines(
    found: Sequence[Line], unit: str, *, title: str, logarithmic: bool = False, marks: Sequence[Mark] = (),
    shaded: Sequence[tuple[float, float]] = (), limits: Sequence[tuple[float, str]] = (), end: float,
) -> str:  # fmt: skip
    """Draws lines over seconds.

    Args:
        title: what is read aloud.
        logarithmic: where values differ so much that one could not see the small ones.
        shaded: whiles that do not count.
        limits: values with words, each a line across.
        end: the last second.
    """
    values = [y for line in found for _, y in line.points] + [limit for limit, _ in limits]
    axis = _axis(values, logarithmic)
    xs = _Linear(0.0, end or 1.0, LEFT, WIDTH - RIGHT)
    body = [
        f'<rect class="shaded" x="{xs(a):.1f}" y="{TOP}" width="{xs(b) - xs(a):.1f}" '
        f'height="{HEIGHT - TOP - BOTTOM}"/>'
        for a, b in shaded
    ]
    body += _grid(axis, unit)
    body += [_text("tick", xs(at), HEIGHT - 8, "middle", f"{at:g} s") for at in _round_steps(0, end, 8)]
    body += [_drawn(line, xs, axis) for line in found]
    for limit, words in limits:
        body.append(_across("limit", axis(limit)))
        body.append(_text("note", WIDTH - RIGHT - 4, axis(limit) - 5, "end", words))
    for mark in marks:
        x = xs(mark.x)
        body.append(_upright("mark", x))
        side, shift = ("start", 6) if mark.x < 0.8 * end else ("end", -6)
        body.append(_text("note", x + shift, TOP + 12, side, mark.words))
    return _svg(title, body)


def quantiles(found: Sequence[Line], title: str) -> str:
    """Draws times by the part of answers that took no longer: rarer ones have as much room as common ones.

    Source: the axis of Gil Tene's HdrHistogram plots.
    """
    values = [y for line in found for _, y in line.points]
    axis = _axis(values, True)
    most = max((x for line in found for x, _ in line.points), default=0.99)
    end = -math.log10(1 - min(most, 0.9999))

    def xs(part: float) -> float:
        return LEFT + (WIDTH - RIGHT - LEFT) * -math.log10(1 - min(part, 0.9999)) / max(end, 0.31)

    body = _grid(axis, "s")
    for part in (0.0, *NINES):
        x = xs(part)
        if x <= WIDTH - RIGHT + 1:
            anchor = "start" if part == 0 else "end" if x > WIDTH - 40 else "middle"
            body += [_upright("grid", x), _text("tick", x, HEIGHT - 8, anchor, f"{100 * part:g} %")]
    body += [_drawn(line, xs, axis) for line in found]
    return _svg(title, body)


class _Linear:
    """A scale: values to places."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        self.low, self.high, self.begin, self.end = low, high, begin, end
        self.ticks = _round_steps(low, high, 4)

    def __call__(self, value: float) -> float:
        return self.begin + (self.end - self.begin) * (value - self.low) / (self.high - self.low)


class _Logarithmic(_Linear):
    """A scale of decades."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        super().__init__(math.log10(low), math.log10(high), begin, end)
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        steps = (1,) if len(decades) > 4 else (1, 3)
        self.ticks = [one * 10.0**power for power in decades for one in steps
                      if low <= one * 10.0**power <= high * 1.0001]  # fmt: skip

    def __call__(self, value: float) -> float:
        return super().__call__(math.log10(max(value, 10**self.low)))


def _axis(values: Sequence[float], logarithmic: bool) -> _Linear:
    positive = [value for value in values if value > 0]
    high = max(positive, default=1.0)
    low = min(positive, default=high)
    if logarithmic and high / low > DECADES:
        return _Logarithmic(low / 1.2, high * 1.3, HEIGHT - BOTTOM, TOP)
    return _Linear(0.0, high * 1.12, HEIGHT - BOTTOM, TOP)


def _round_steps(low: float, high: float, count: int) -> list[float]:
    """Returns about `count` round numbers between two."""
    width = (high - low) / count or 1.0
    power = 10.0 ** math.floor(math.log10(width))
    step = next(one * power for one in (1, 2, 2.5, 5, 10) if one * power >= width * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * place, 10) for place in range(first, int(high / step + 1e-9) + 1)]


def _grid(axis: _Linear, unit: str) -> list[str]:
    found = []
    for tick in axis.ticks:
        found.append(_across("grid", axis(tick)))
        found.append(_text("tick", LEFT - 8, axis(tick) + 4, "end", _said(tick, unit)))
    return found


def _across(kind: str, y: float) -> str:
    return f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _upright(kind: str, x: float) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'


def _text(kind: str, x: float, y: float, anchor: str, words: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def _said(value: float, unit: str) -> str:
    if unit == "s" and 0 < value < 1:
        return f"{1000 * value:g} ms"
    return f"{value:g}{' ' if unit[:1].isalpha() else ''}{unit}"


def _drawn(line: Line, xs: Callable[[float], float], ys: _Linear) -> str:
    if not line.points:
        return ""
    places = [f"{xs(x):.1f},{ys(y):.1f}" for x, y in line.points]
    kind, shape, more = "line", "polyline", ' stroke-dasharray="5 4"' if line.dashed else ""
    if line.area:
        first, last = xs(line.points[0][0]), xs(line.points[-1][0])
        places = [f"{first:.1f},{HEIGHT - BOTTOM}", *places, f"{last:.1f},{HEIGHT - BOTTOM}"]
        kind, shape = "area", "polygon"
    elif len(places) == 1:
        places *= 2  # a dot, by its round ends
    head = f'<{shape} class="{kind} c{line.colour}"{more} points="{" ".join(places)}">'
    return f"{head}<title>{html.escape(line.name)}</title></{shape}>"


def _svg(title: str, body: Sequence[str]) -> str:
    said = html.escape(title)
    return (
        f'<div class="scroll"><svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{said}">'
        f"{''.join(body)}</svg></div>"
    )
