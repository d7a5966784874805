"""Paintings come near their styles and keep what the photograph shows (`photo/STYLES.md`)."""

from collections.abc import Mapping

import numpy as np
import pytest

from components.restyle import Restyle
from photo.measure_style import Score, Textures, paint, painter, photograph, scores, style
from photo.paint_gallery import PAINTERS

DETAILED = ("chelsea", "coffee")  # edges all over
EMPTY = ("rocket",)  # mostly a sky without any, in which strokes are edges, too
NEARER, EDGES = 0.6, 0.5


@pytest.fixture(scope="module")
def measured() -> Mapping[tuple[str, str], Score]:
    return scores((*DETAILED, *EMPTY))


def test_the_gram_distance_to_the_style_falls_by_three_fifths(
    measured: Mapping[tuple[str, str], Score],
) -> None:
    assert np.mean([score.nearer for score in measured.values()]) >= NEARER
    assert min(score.nearer for score in measured.values()) >= 0.45
    for name in PAINTERS:
        assert np.mean([score.nearer for (manner, _), score in measured.items() if manner == name]) >= 0.5


def test_the_photographs_edges_stay(measured: Mapping[tuple[str, str], Score]) -> None:
    kept = {where: [one.edges for (_, name), one in measured.items() if name == where] for where in DETAILED}
    assert all(np.mean(edges) >= EDGES for edges in kept.values())
    assert np.mean([one.edges for one in measured.values()]) >= EDGES
    assert min(one.edges for one in measured.values()) >= 0.35


@pytest.fixture(scope="module")
def restyle() -> Restyle:
    return painter()


@pytest.fixture(scope="module")
def textures() -> Textures:
    return Textures()


@pytest.mark.parametrize(("one", "other"), [("glass", "ink"), ("swirls", "dusk"), ("dots", "marble")])
def test_a_blend_lies_between_its_styles(one: str, other: str, restyle: Restyle, textures: Textures) -> None:
    photo = photograph("chelsea").reduce(2)
    looks = {name: textures.grams(style(name)) for name in (one, other)}
    paintings = {
        names: textures.grams(paint(restyle, photo, *names)) for names in ((one,), (other,), (one, other))
    }
    for name, rest in ((one, other), (other, one)):
        distance = {names: textures.distance(grams, looks[name]) for names, grams in paintings.items()}
        assert distance[name,] < distance[one, other] < distance[rest,]
