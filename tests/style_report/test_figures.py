"""Figures: right by another way to compute them, and no surer than they may be."""

import random
from statistics import fmean

import numpy as np
import pytest

from imagegraph.errors import InvalidInput
from imagegraph.style_report import figures as module
from imagegraph.style_report.answers import Answer
from imagegraph.style_report.figures import LEAST_PHOTOS, figures

ARCHITECTURES = ("words", "photo-and-words")
STYLES = ("Banksy", "Vincent van Gogh", "Kazimir Malevich")


def answer(photo: str, architecture: str, style: str, confidence: float) -> Answer:
    yes = int(confidence > 0.5)
    return Answer(photo, architecture, style, "", "", 0, yes, confidence, "a.png", "b.png")


def answers(photos: int, confidence, variants: int = 1) -> list[Answer]:
    return [
        answer(f"photo {photo}", architecture, style, confidence(photo, architecture, style))
        for photo in range(photos)
        for architecture in ARCHITECTURES
        for style in STYLES
        for _ in range(variants)
    ]


@pytest.fixture(scope="module")
def some() -> list[Answer]:
    rng = np.random.default_rng(3)
    better = {"words": 0.0, "photo-and-words": 0.1}
    return answers(20, lambda _, one, style: float(0.6 + better[one] + 0.1 * rng.normal()), variants=2)


def resampled(values: list[float], level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of a mean, by the book."""
    rng = random.Random(1)
    means = sorted(fmean(rng.choices(values, k=len(values))) for _ in range(4000))
    cut = round((1 - level) / 2 * len(means))
    return means[cut], means[-cut - 1]


def of_photo(some: list[Answer], **wanted: str) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for one in some:
        if all(getattr(one, name) == value for name, value in wanted.items()):
            found.setdefault(one.photo, []).append(one.confidence)
    return {photo: fmean(values) for photo, values in found.items()}


def test_scores_are_means_with_the_intervals_of_the_bootstrap(some):
    result = figures(some)
    assert result.photos == 20
    for architecture in ARCHITECTURES:
        for style in STYLES:
            values = [*of_photo(some, architecture=architecture, style=style).values()]
            score = result.cells[architecture][style]
            assert score.mean == pytest.approx(fmean(values))
            assert (score.low, score.high) == pytest.approx(resampled(values), abs=0.006)
            own = [one.yes for one in some if (one.architecture, one.style) == (architecture, style)]
            assert score.yes == pytest.approx(fmean(own))
        assert result.architectures[architecture].mean == pytest.approx(
            fmean(of_photo(some, architecture=architecture).values())
        )


def test_a_verdict_is_about_differences_photo_by_photo(some):
    verdict = figures(some).architecture
    assert (verdict.best, verdict.next, verdict.real) == ("photo-and-words", "words", True)
    one, other = (of_photo(some, architecture=name) for name in ("photo-and-words", "words"))
    differences = [one[photo] - other[photo] for photo in one]
    assert verdict.difference == pytest.approx(fmean(differences))
    assert (verdict.low, verdict.high) == pytest.approx(resampled(differences), abs=0.006)


def test_what_differs_between_photos_alone_hides_no_difference():
    """Photos are hard or easy by far more than the architectures differ, but for all photos alike."""
    hard = np.random.default_rng(0).uniform(0, 0.9, 12)
    some = answers(12, lambda photo, one, _: float(hard[photo] + 0.02 * (one != "words")))
    result = figures(some)
    assert result.architecture.real
    assert result.architectures["words"].high > result.architectures["photo-and-words"].low


def test_chance_is_seldom_called_real(monkeypatch):
    monkeypatch.setattr(module, "ROUNDS", 1000)
    rng = np.random.default_rng(4)
    results = [figures(answers(20, lambda *_: float(rng.uniform()))) for _ in range(120)]
    assert np.mean([one.style.real for one in results]) <= 0.1
    assert np.mean([one.architecture.real for one in results]) <= 0.13


def test_of_few_photos_nothing_is_called_real():
    def sure(_: int, architecture: str, style: str) -> float:
        return 0.9 if architecture == "words" else 0.1

    assert not figures(answers(LEAST_PHOTOS - 1, sure)).architecture.real
    assert figures(answers(LEAST_PHOTOS, sure)).architecture.real


def test_equal_scores_have_no_winner():
    result = figures(answers(10, lambda *_: 1.0))
    assert not result.style.real
    assert result.style.difference == 0
    assert result.cells["words"]["Banksy"].low == result.cells["words"]["Banksy"].high == 1


def test_a_photo_that_lacks_a_picture_is_not_compared(some):
    lacking = [one for one in some if (one.photo, one.architecture) != ("photo 3", "words")]
    result = figures(lacking)
    assert (result.photos, result.incomplete) == (19, ["photo 3"])


def test_where_there_is_one_of_a_kind_there_is_no_verdict(some):
    result = figures([one for one in some if one.architecture == "words"])
    assert result.architecture is None
    assert result.style is not None


def test_without_a_complete_photo_there_are_no_figures(some):
    with pytest.raises(InvalidInput, match="photos: expected at least one"):
        figures([answer("a", "words", "Banksy", 1.0), answer("b", "photo-and-words", "Banksy", 1.0)])
