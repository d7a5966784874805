"""The report as one page of HTML that needs nothing beside it."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from string import Template

from imagegraph.counted import counted
from imagegraph.style_report import samples
from imagegraph.style_report.figures import LEAST_PHOTOS, ROUNDS, Figures, Score, Verdict
from imagegraph.style_report.samples import Report, capital, words

PAGE = Path(__file__).with_suffix(".html")
TICKS = (0, 0.25, 0.5, 0.75, 1)  # in parts of the axis
BEGINNINGS = (0, 0.5, 0.8, 0.9, 0.96)  # of the axis, so that high scores can be told apart


def page(report: Report) -> str:
    """Returns the page."""
    figures, names = report.figures, list(report.figures.architectures)
    title = f"{counted(len(figures.styles), 'style')} over {counted(figures.photos, 'photo')}"
    verdicts = [
        _verdict("Style", figures.style, figures.styles, figures.photos, str),
        _verdict("Architecture", figures.architecture, figures.architectures, figures.photos, words),
    ]
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        facts=" · ".join(map(html.escape, report.facts)),
        verdicts="".join(verdicts),
        keys="".join(_key(place, name) for place, name in enumerate(names)),
        plot=_plot(figures),
        table=_table(figures),
        columns=len(figures.styles),
        photos="".join(samples.photo(report, photo) for photo in samples.ends(report)),
        samples="".join(samples.half(report, place, name) for place, name in enumerate(names)),
        method=_method(report),
        failures=_failures(report),
        numbers=json.dumps(asdict(figures)).replace("</", "<\\/"),
    )


def _verdict(
    what: str, verdict: Verdict | None, scores: Mapping[str, Score], photos: int, say: Callable[[str], str]
) -> str:
    """Says which is best, and whether that is so beyond chance."""
    if verdict is None:
        only = say(next(iter(scores)))
        return _card(what, only, "There is no other to compare it with.", "", "")
    best, other = (html.escape(say(name)) for name in (verdict.best, verdict.next))
    means = f"{scores[verdict.best].mean:.3f} on average, {_more(verdict.difference)} than {other}"
    interval = f"(between {signed(verdict.low)} and {signed(verdict.high)})"
    if verdict.real:
        return _card(what, best, f"{capital(means)} {interval}.", "real", "The difference is real.")
    leads = f"{capital(best)} leads with {means}"
    if photos < LEAST_PHOTOS:
        said = f"{leads}, but {LEAST_PHOTOS} photos are the least of which that says anything."
        return _card(what, "Too few photos to tell", said, "", "")
    return _card(what, "No clear winner", f"{leads} {interval}.", "doubt", "That may be chance.")


def _more(difference: float) -> str:
    return f"{difference:.3f} more" if difference >= 0.0005 else "hardly more"


def signed(difference: float) -> str:
    """Returns a difference in three digits; none at all has no sign."""
    rounded = round(difference, 3)
    return f"{rounded:+.3f}" if rounded else "0"


def _card(what: str, best: str, said: str, kind: str, mark: str) -> str:
    marked = f' <span class="mark {kind}">{mark}</span>' if mark else ""
    head = f"<h3>{what}</h3><strong>{capital(best)}</strong>"
    return f'<section class="verdict">{head}<p>{said}{marked}</p></section>'


def _key(place: int, name: str) -> str:
    return f'<span class="key">{_dot(place)}{html.escape(capital(words(name)))}</span>'


def _dot(place: int, style: str = "") -> str:
    return f'<i class="dot shape{place % 4}" style="--own: var(--a{place % 4});{style}"></i>'


def _plot(figures: Figures) -> str:
    """Returns a dot and its interval for every style and architecture."""
    lowest = min(one.low for of_style in figures.cells.values() for one in of_style.values())
    begin = max(one for one in BEGINNINGS if one <= lowest)
    rows = []
    for style in figures.styles:
        scores = [of_style[style] for of_style in figures.cells.values()]
        tracks = "".join(_track(place, one, begin) for place, one in enumerate(scores))
        numbers = "".join(f"<div>{one.mean:.3f} ({one.low:.3f} to {one.high:.3f})</div>" for one in scores)
        name = f'<div class="name">{html.escape(style)}</div>'
        rows.append(f'<div class="row">{name}<div>{tracks}</div><div class="number">{numbers}</div></div>')
    ticks = "".join(
        f'<span style="left:{100 * tick:g}%">{begin + tick * (1 - begin):.4g}</span>' for tick in TICKS
    )
    axis = f'<div><div class="track">{ticks}</div></div>'
    numbers = '<div class="number">mean (interval)</div>'
    return "".join(rows) + f'<div class="row axis"><div class="name"></div>{axis}{numbers}</div>'


def _track(place: int, score: Score, begin: float) -> str:
    """Returns a line with a dot; its left end is the score `begin`."""
    left, mean, right = (100 * (one - begin) / (1 - begin) for one in (score.low, score.mean, score.high))
    whisker = f"--own: var(--a{place % 4});left:{left:.2f}%;width:{right - left:.2f}%"
    dot = _dot(place, f"left:{mean:.2f}%")
    return f'<div class="track"><i class="whisker" style="{whisker}"></i>{dot}</div>'


def _table(figures: Figures) -> str:
    """Returns mean, interval and part of yes for every style and architecture, and over all."""
    names = [*figures.cells]
    over = "".join(f'<th class="over" colspan="3">{html.escape(capital(words(name)))}</th>' for name in names)
    head = "<th>style</th>" + "<th>mean</th><th>interval</th><th>yes</th>" * len(names)
    rows = [(html.escape(style), [figures.cells[name][style] for name in names]) for style in figures.styles]
    rows.append(("<b>all styles</b>", [figures.architectures[name] for name in names]))
    body = "".join(f"<tr><td>{label}</td>{''.join(map(_cells, scores))}</tr>" for label, scores in rows)
    return f"<table><thead><tr><th></th>{over}</tr><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(score: Score) -> str:
    interval = f"{score.low:.3f} to {score.high:.3f}"
    return f"<td>{score.mean:.3f}</td><td>{interval}</td><td>{score.yes:.0%}</td>"


def _method(report: Report) -> str:
    questions = list(dict.fromkeys(one.question for one in report.answers if one.question))
    asked = f"such as <q>{html.escape(questions[0])}</q> " if questions else ""
    return (
        f"<p>Of every picture one question was asked, {asked}and the probability of yes against no is its "
        f"score. Intervals are those of {ROUNDS} bootstrap samples of the photos: all pictures of a photo "
        "come and go together, and differences are taken photo by photo. A best one is called real if it is "
        "above every other one in an interval that, for all of them together, misses in 5 of 100 cases.</p>"
        "<p>The score is the opinion of one model. It says nothing about beauty, nor about how much of the "
        "photo is left. All pictures and answers are in <code>answers.parquet</code> beside this page.</p>"
    )


def _failures(report: Report) -> str:
    """Lists what is not in the figures, and why."""
    said = {photo: "not all of its pictures are there" for photo in report.figures.incomplete}
    said.update(report.failures)
    if not said:
        return ""
    items = "".join(
        f"<li><code>{html.escape(name)}</code>: {html.escape(why)}</li>" for name, why in sorted(said.items())
    )
    return f"<h2>What is missing</h2><ul>{items}</ul>"
