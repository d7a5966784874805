"""Mean scores with their intervals, and whether what looks best is so, or may be so by chance.

All that is drawn of a photo hangs together, so photos are what is drawn again: the bootstrap takes as many of
them as there are, with replacement, and every mean is taken anew.

Source: Efron and Tibshirani 1993, An introduction to the bootstrap, chapters 6 and 13 (percentile intervals);
Bonferroni's correction where one is compared with several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagegraph.errors import InvalidInput
from imagegraph.style_report.answers import Answer

ROUNDS = 10_000
SEED = 0
DOUBT = 0.05  # how often an interval may miss
LEAST_PHOTOS = 8  # of fewer, nothing is said to be real
LEAST_DIFFERENCE = 1e-6  # less may come of rounding

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A mean probability of yes, its interval, and the part of pictures of which yes is said."""

    mean: float
    low: float
    high: float
    yes: float


@dataclass(frozen=True)
class Verdict:
    """What does best, and by how much more than the next.

    Attributes:
        low, high: interval of the difference, wide enough for all comparisons with the best together.
        real: whether the best is above every other one beyond chance.
    """

    best: str
    next: str
    difference: float
    low: float
    high: float
    real: bool


@dataclass(frozen=True)
class Figures:
    """All numbers of a report.

    Attributes:
        photos: that are compared: those with all pictures.
        incomplete: names of the others.
        cells: by architecture and style.
        style, architecture: verdicts; None where there is only one.
    """

    photos: int
    incomplete: Sequence[str]
    cells: Mapping[str, Mapping[str, Score]]
    styles: Mapping[str, Score]
    architectures: Mapping[str, Score]
    style: Verdict | None
    architecture: Verdict | None


def figures(answers: Sequence[Answer]) -> Figures:
    """Computes all numbers.

    Raises:
        InvalidInput: no photo has all of its pictures.
    """
    styles = list(dict.fromkeys(one.style for one in answers))
    architectures = list(dict.fromkeys(one.architecture for one in answers))
    photos = list(dict.fromkeys(one.photo for one in answers))
    chances, said = (_table(answers, photos, architectures, styles, name) for name in ("confidence", "yes"))
    whole = np.logical_not(np.isnan(chances).any(axis=(1, 2)))
    if not whole.any():
        raise InvalidInput("photos", "at least one that all pictures were drawn of", "none")
    chances, said = chances[whole], said[whole]
    draws = _draws(len(chances))
    by_style, by_architecture = chances.mean(axis=1), chances.mean(axis=2)
    return Figures(
        photos=len(chances),
        incomplete=[photo for photo, there in zip(photos, whole.tolist(), strict=True) if not there],
        cells={
            name: _scores(styles, chances[:, row], said[:, row], draws)
            for row, name in enumerate(architectures)
        },
        styles=_scores(styles, by_style, said.mean(axis=1), draws),
        architectures=_scores(architectures, by_architecture, said.mean(axis=2), draws),
        style=_verdict(styles, by_style, draws),
        architecture=_verdict(architectures, by_architecture, draws),
    )


def _table(
    answers: Sequence[Answer], photos: list[str], architectures: list[str], styles: list[str], field: str
) -> Numbers:
    """Returns means over variants [photos, architectures, styles]; NaN where there is no picture."""
    places = [{name: place for place, name in enumerate(names)} for names in (photos, architectures, styles)]
    total = np.zeros((len(photos), len(architectures), len(styles)))
    count = np.zeros_like(total)
    for one in answers:
        at = places[0][one.photo], places[1][one.architecture], places[2][one.style]
        total[at] += getattr(one, field)
        count[at] += 1
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _draws(photos: int) -> Numbers:
    """Returns how often each photo is drawn in each round, [rounds, photos]."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(photos, np.full(photos, 1 / photos), ROUNDS).astype(np.float64)


def _scores(names: Sequence[str], chances: Numbers, said: Numbers, draws: Numbers) -> dict[str, Score]:
    """Returns the scores of columns [photos, names]."""
    lows, highs = np.quantile(draws @ chances / len(chances), [DOUBT / 2, 1 - DOUBT / 2], axis=0)
    rows = zip(names, chances.mean(axis=0), lows, highs, said.mean(axis=0), strict=True)
    return {name: Score(*map(float, numbers)) for name, *numbers in rows}


def _verdict(names: Sequence[str], chances: Numbers, draws: Numbers) -> Verdict | None:
    """Compares the best column of [photos, names] with every other one, photo by photo."""
    if len(names) < 2:
        return None
    ranked = np.argsort(-chances.mean(axis=0), kind="stable")
    others = ranked[1:]
    differences = chances[:, ranked[:1]] - chances[:, others]
    doubt = DOUBT / len(others)
    lows, highs = np.quantile(draws @ differences / len(chances), [doubt / 2, 1 - doubt / 2], axis=0)
    return Verdict(
        best=names[ranked[0]],
        next=names[others[0]],
        difference=float(differences.mean(axis=0)[0]),
        low=float(lows[0]),
        high=float(highs[0]),
        real=bool(len(chances) >= LEAST_PHOTOS and (lows > LEAST_DIFFERENCE).all()),
    )
