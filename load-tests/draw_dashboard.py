"""Draws a dashboard of the chart from what a Prometheus knows, for pages and for those without Grafana.

python load-tests/draw_dashboard.py overview --prometheus http://localhost:9090 --out overview.png
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import matplotlib
import matplotlib.pyplot as plt
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.ticker import FuncFormatter
from PIL import Image

DASHBOARDS = Path(__file__).parents[1] / "charts" / "imagegraph" / "dashboards"
POINTS = 120  # of each line
COLUMN, ROW = 0.55, 0.3  # of Grafana's grid, in inches
LONGEST_LEGEND = 32
PALETTE = ["#3b6fd4", "#d9822b", "#3a9a5c", "#a94fb5", "#c0392b", "#1f9aa8", "#8a7a2a", "#6b7280"]


def main() -> None:
    """Reads the arguments and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dashboard", choices=sorted(path.stem for path in DASHBOARDS.glob("*.json")))
    parser.add_argument("--prometheus", default="http://localhost:9090", metavar="URL")
    parser.add_argument("--minutes", type=float, default=15, help="how far to look back")
    parser.add_argument("--end", type=float, help="from then on, in seconds since 1970; else from now on")
    parser.add_argument("--namespace", default=".*", help="a regular expression")
    parser.add_argument("--release", default=".*", help="a regular expression")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another variable")
    parser.add_argument("--rows", nargs="*", help="only these rows")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    variables = {
        "namespace": options.namespace,
        "release": options.release,
        "__rate_interval": "1m",
        **dict(one.split("=", 1) for one in options.set),
    }
    board = json.loads((DASHBOARDS / f"{options.dashboard}.json").read_text())
    source = Source(options.prometheus, options.end or time.time(), options.minutes * 60, variables)
    draw(board, source, set(options.rows or ()), options.out)


class Source:
    """Answers the queries of panels."""

    def __init__(self, url: str, end: float, seconds: float, variables: dict[str, str]) -> None:
        """Takes where Prometheus is, from when on and how far to look back, and the values of variables."""
        self._url, self._variables = url.rstrip("/"), variables
        self.end = end
        self.start = end - seconds

    def lines(self, target: dict[str, Any]) -> Iterator[tuple[str, list[tuple[float, float]]]]:
        """Yields the legend and the points of each series."""
        query = self._filled(target["expr"])
        step = (self.end - self.start) / POINTS
        asked = {"query": query, "start": self.start, "end": self.end, "step": f"{step:.3f}"}
        answer = httpx.get(f"{self._url}/api/v1/query_range", params=asked, timeout=60)
        answer.raise_for_status()
        for series in answer.json()["data"]["result"]:
            legend = target.get("legendFormat", "")
            for label, value in series["metric"].items():
                legend = legend.replace(f"{{{{{label}}}}}", value)
            points = [(at, float(value)) for at, value in series["values"]]
            yield legend, [(at, value) for at, value in points if math.isfinite(value)]

    def _filled(self, query: str) -> str:
        for name, value in self._variables.items():
            query = query.replace(f"${name}", value)
        return query


def draw(board: dict[str, Any], source: Source, rows: set[str], out: Path) -> None:
    """Draws the panels of a dashboard where Grafana has them, those of the chosen rows or all."""
    matplotlib.use("Agg")
    plt.rcParams |= {"font.size": 7.5, "axes.spines.top": False, "axes.spines.right": False}
    shown, row = [], ""
    for panel in board["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        elif not rows or row in rows:
            shown.append(panel)
    top = min(panel["gridPos"]["y"] for panel in shown)
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in shown) - top
    width, tall = 24 * COLUMN, height * ROW
    figure = plt.figure(figsize=(width, tall), dpi=100)
    for panel in shown:
        place = panel["gridPos"]
        left, bottom = place["x"] * COLUMN + 0.55, tall - (place["y"] - top + place["h"]) * ROW + 0.3
        size = (place["w"] * COLUMN - 0.75, place["h"] * ROW - 0.6)
        axes = figure.add_axes((left / width, bottom / tall, size[0] / width, size[1] / tall))
        axes.set_title(panel["title"], loc="left", fontsize=8.5, fontweight="bold")
        {"stat": _number, "heatmap": _heat}.get(panel["type"], _lines)(axes, panel, source)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    Image.open(out).quantize(64).save(out, optimize=True)
    print(out)


def _number(axes: Any, panel: dict[str, Any], source: Source) -> None:
    axes.axis("off")
    found = [points[-1][1] for _, points in source.lines(panel["targets"][0]) if points]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.text(0, 0.35, said(found[0], unit) if found else "no data", fontsize=16, transform=axes.transAxes)


def _lines(axes: Any, panel: dict[str, Any], source: Source) -> None:
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    found = [line for target in panel["targets"] for line in source.lines(target) if line[1]]
    if not found:
        axes.text(0.5, 0.5, "no data", ha="center", color="grey", transform=axes.transAxes)
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    below: dict[float, float] = {}
    for index, (legend, points) in enumerate(found):
        times = [date2num(at_utc(at)) for at, _ in points]
        base = [below.get(at, 0.0) for at, _ in points]
        values = [value + (under if stacked else 0) for (_, value), under in zip(points, base, strict=True)]
        colour = PALETTE[index % len(PALETTE)]
        axes.plot(times, values, label=legend[:LONGEST_LEGEND], color=colour, linewidth=1)
        if stacked:
            axes.fill_between(times, base, values, color=colour, alpha=0.3)
            below |= {at: value for (at, _), value in zip(points, values, strict=True)}
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: said(value, unit)))
    locator = AutoDateLocator(maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.grid(alpha=0.2)
    if found:
        highest = max(max(axes.get_ylim()), 0.01)
        axes.set_ylim(min(0, *(value for _, points in found for _, value in points)), 1.35 * highest)
        axes.legend(fontsize=5.5, frameon=False, loc="upper left", ncols=2, borderaxespad=0)


def _heat(axes: Any, panel: dict[str, Any], source: Source) -> None:
    buckets = sorted(source.lines(panel["targets"][0]), key=lambda line: float(line[0]))
    times = sorted({at for _, points in buckets for at, _ in points})
    below = [0.0] * len(times)
    cells = []
    for _, points in buckets:
        known = dict(points)
        counts = [known.get(at, 0.0) for at in times]
        cells.append([max(0.0, count - under) for count, under in zip(counts, below, strict=True)])
        below = counts
    if cells:
        axes.imshow(cells, aspect="auto", origin="lower", cmap="Blues")
        axes.set_yticks(range(len(buckets)), [f"≤ {legend}" for legend, _ in buckets])
        axes.set_xticks([])


def at_utc(seconds: float) -> Any:
    """Returns a moment as numpy has it."""
    import numpy as np

    return np.datetime64(int(seconds * 1000), "ms")


def said(value: float, unit: str) -> str:
    """Returns a number with its unit, as people say it."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "bytes":
        for name, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.0f} B"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    return f"{value:.3g}/s" if unit == "reqps" else f"{value:.3g}"


if __name__ == "__main__":
    main()
