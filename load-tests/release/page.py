"""The result as one page of HTML that needs nothing beside it."""

from __future__ import annotations

import html
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np

from release import figures, plots
from release.figures import Figures
from release.plots import Line, Mark
from release.report import HEAD, Result, as_json, cells, labels, labels_of_hosts

PAGE = Path(__file__).with_suffix(".html")
COLUMNS = ("", *HEAD)
MIB = 2**20
MOST_PROCESSES = 8  # lines of a plot
LATE_S = 0.25  # of 1 of 100 requests, from which on the generator says that it was late


def page(result: Result) -> str:
    """Returns the page."""
    run, total = result.run, result.total
    counts = [(step.begin_s, step.end_s) for step in run.steps if not step.counts]
    marks = [] if run.killed_s is None else [Mark(run.killed_s, "killed")]
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=html.escape(f"Load test: {result.name}"),
        summary=html.escape(run.scenario.summary),
        facts=" · ".join(map(html.escape, _facts(result))),
        verdict=_verdict(result),
        tiles="".join(_tiles(total, figures.seconds(run))),
        hosts=_hosts(result),
        checks=_table(("", "asked for", "measured", ""), [
            (check.name, check.expected, check.got, _mark(check.passed)) for check in result.checks
        ]),
        rates=_rates(result, counts, marks),
        times=_times(result, counts, marks),
        spread=_spread(result),
        ways=_table(COLUMNS, [(way, *cells(got)) for way, got in figures.by_way(run).items()]),
        steps=_steps(result),
        versions=_versions(result),
        servers=_servers(result, counts, marks),
        failures=_failures(result),
        late=_late(total),
        numbers=json.dumps(as_json(result)).replace("</", "<\\/"),
    )  # fmt: skip


def _facts(result: Result) -> list[str]:
    run = result.run
    arrivals = {"poisson": "Poisson arrivals", "constant": "arrivals at equal distances"}
    return [
        result.began, *map(str, run.hosts),
        f"{arrivals[run.scenario.arrivals]} for {run.scenario.seconds:g} s",
        f"seed {result.seed}",
    ]  # fmt: skip


def _verdict(result: Result) -> str:
    broken = sum(not check.passed for check in result.checks)
    words = (
        f"{broken} of {len(result.checks)} thresholds were broken" if broken else "All thresholds were kept"
    )
    said = f'<p class="verdict {"bad" if broken else "good"}">{words}.</p>'
    if result.run.cut_short:
        said += (
            f"<p>It was cut short {html.escape(result.run.cut_words)}. {result.run.under_way} requests were "
            "under way then and are in no figures.</p>"
        )
    if result.total.late_s > LATE_S:
        said += (
            f"<p>The generator itself sent some requests {result.total.late_s:.1f} s late: it had not "
            "enough of its machine. Times are longer for that, and rates lower.</p>"
        )
    return said


def _tiles(total: Figures, seconds: float) -> list[str]:
    def tile(name: str, value: str, more: str = "") -> str:
        return f'<div class="tile"><h3>{name}</h3><strong>{value}</strong><span>{more}</span></div>'

    def time(value: float | None) -> str:
        if value is None:
            return "–" if total.requests == total.refused else "never"
        return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.2f} s"

    asked = total.requests / seconds if seconds else 0.0
    return [
        tile("Answered", f"{total.per_s:.1f}/s", f"of {asked:.1f}/s that were due"),
        tile("Half of the answers", time(total.p50_s), "or less"),
        tile("99 of 100 answers", time(total.p99_s), f"the longest: {time(total.max_s)}"),
        tile("Errors", f"{total.error_rate:.2%}", f"{total.errors} of {total.requests}, {total.lost} lost"),
        tile(
            "Refused",
            f"{total.refused / max(1, total.requests):.2%}",
            f"{total.told} were told when to return",
        ),
    ]


def _mark(passed: bool) -> str:
    return '<b class="good">kept</b>' if passed else '<b class="bad">broken</b>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table; the last cell of a row may be one of our marks, all else is text."""

    def cell(text: str) -> str:
        return text if text.startswith("<b class=") else html.escape(text)

    top = "".join(f"<th>{html.escape(one)}</th>" for one in head)
    body = "".join("<tr>" + "".join(f"<td>{cell(one)}</td>" for one in row) + "</tr>" for row in rows)
    return (
        f'<div class="sheet scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _plot(keys: Sequence[tuple[str, str]], drawn: str) -> str:
    named = "".join(
        f'<span class="key"><i class="dot c{colour}"></i>{html.escape(name)}</span>' for name, colour in keys
    )
    return f'<div class="sheet"><div class="keys">{named}</div>{drawn}</div>'


def _rates(result: Result, shaded: list[tuple[float, float]], marks: list[Mark]) -> str:
    points = figures.over_time(result.run)
    width = 2 * points[0][0]
    kinds = (("due", "requests"), ("answered", "answered"), ("refused", "refused"), ("errors", "errors"))
    found = [
        Line(name, str(colour), [(at, getattr(one, of) / width) for at, one in points], area=name == "due")
        for colour, (name, of) in enumerate(kinds)
        if name in ("due", "answered") or any(getattr(one, of) for _, one in points)
    ]
    end = result.run.steps[-1].end_s
    drawn = plots.lines(found, "/s", title="Requests a second", shaded=shaded, marks=marks, end=end)
    return _plot([(line.name, line.colour) for line in found], drawn)


def _times(result: Result, shaded: list[tuple[float, float]], marks: list[Mark]) -> str:
    points = figures.over_time(result.run)
    kinds = (("50 of 100 answers", "1", "p50_s"), ("95 of 100", "2", "p95_s"), ("99 of 100", "3", "p99_s"))
    found = [
        Line(name, colour, [(at, getattr(one, of)) for at, one in points if getattr(one, of) is not None])
        for name, colour, of in kinds
    ]
    asked = result.run.scenario.thresholds
    limits = [
        (limit, f"{words} at most")
        for limit, words in (
            (asked.p50_seconds, "p50"),
            (asked.p95_seconds, "p95"),
            (asked.p99_seconds, "p99"),
        )
        if limit is not None
    ]
    drawn = plots.lines(
        found, "s", title="Times of answers", logarithmic=True, shaded=shaded, marks=marks, limits=limits,
        end=result.run.steps[-1].end_s,
    )  # fmt: skip
    return _plot([(line.name, line.colour) for line in found], drawn)


def _spread(result: Result) -> str:
    outcomes = figures.counted(result.run)
    found = []
    for place, share in enumerate(result.run.scenario.requests):
        mine = [one for one in outcomes if one.arrival.way == share.way]
        # As far as there are requests to tell, and answers.
        parts = [part for part in 1 - np.logspace(0, -4, 81) if part <= 1 - 1 / max(1, len(mine))]
        points = zip(parts, figures.quantiles(mine, parts), strict=True)
        line = Line(share.way, str(place % 6), [one for one in points if math.isfinite(one[1])])
        if line.points:
            found.append(line)
    if not found:
        return "<p>Nothing was answered.</p>"
    return _plot([(line.name, line.colour) for line in found], plots.quantiles(found, "Times by quantile"))


def _hosts(result: Result) -> str:
    if len(result.run.hosts) < 2:
        return ""
    rows = [
        (label, *cells(got))
        for label, got in zip(labels_of_hosts(result.run), figures.by_host(result.run), strict=True)
    ]
    return f"<h2>By graph</h2>{_table(COLUMNS, rows)}"


def _steps(result: Result) -> str:
    steps = result.run.steps
    if len(steps) < 2:
        return ""
    rows = [
        (label, *cells(got))
        for label, got in zip(labels(result.run), figures.by_step(result.run), strict=True)
    ]
    return f"<h2>By rate</h2>{_table(COLUMNS, rows)}"


def _versions(result: Result) -> str:
    counts = figures.by_version(figures.counted(result.run))
    if not any(counts):
        return ""
    rows = [
        (name or "not named", str(count), f"{count / counts.total():.1%}")
        for name, count in sorted(counts.items())
    ]
    return f"<h2>By version of the release</h2>{_table(('', 'answers', 'of all'), rows)}"


def _servers(result: Result, shaded: list[tuple[float, float]], marks: list[Mark]) -> str:
    """Draws what the servers showed: cores, the time that models computed, queues, memory."""
    samples = result.sampler.samples
    names = list(dict.fromkeys(one.process for one in samples))[:MOST_PROCESSES]
    if not names:
        why = "; ".join(f"{name}: {words}" for name, words in result.sampler.failed.items())
        return f"<p class='soft'>No metrics were read. {html.escape(why)}</p>"
    end = result.run.steps[-1].end_s
    parts = []
    for title, unit, of, is_rate in (
        ("CPUs used", "", "cpu_s", True), ("Requests under way", "", "in_flight", False),
        ("Requests in the queue", "", "queue", False), ("Memory", "MiB", "memory", False),
    ):  # fmt: skip
        found = []
        for place, name in enumerate(names):
            seen = [(one.at_s, one.values[of]) for one in samples if one.process == name and of in one.values]
            if is_rate:
                seen = [
                    (at, max(0.0, value - before) / (at - since))
                    for (since, before), (at, value) in itertools.pairwise(seen)
                ]
            scale = MIB if unit == "MiB" else 1
            seen = [(at, value / scale) for at, value in seen if 0 <= at <= end]
            found.append(Line(name, str(1 + place % 5), seen, dashed=place >= 5))
        if any(value for line in found for _, value in line.points):
            drawn = plots.lines(found, unit, title=title, shaded=shaded, marks=marks, end=end)
            keys = [(line.name, line.colour) for line in found]
            parts.append(f"<h3>{title}</h3>{_plot(keys, drawn)}")
    return "".join(parts)


def _failures(result: Result) -> str:
    found = figures.failures(figures.counted(result.run)).most_common(20)
    if not found:
        return ""
    rows = [(str(count), str(status or "no answer"), words) for (status, words), count in found]
    return f"<h2>What failed</h2>{_table(('requests', 'status', 'why'), rows)}"


def _late(total: Figures) -> str:
    return (
        f"The generator sent 99 of 100 requests no later than {1000 * total.late_s:.0f} ms after they were "
        "due; that is part of their times."
    )
