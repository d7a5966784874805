"""What a person draws is what comes out, with the weights that are in the repository."""

import asyncio

import numpy as np
import pytest

from imagegraph.image import Image
from imagegraph.run.embedded import Embedded
from imagegraph.spec.catalogue import ROOT, Catalogue
from tests.catalogue.conftest import BUNDLE

DRAWING = ROOT / "pocket" / "examples" / "drawing.png"
PROMPT = "a red cone left of a blue sphere"


@pytest.fixture(scope="module")
def answer() -> dict[str, object]:
    catalogue = Catalogue.read()
    with Embedded(catalogue.graph("sketch").root, BUNDLE, catalogue, "cpu") as embedded:
        request = {"drawing": Image(DRAWING.read_bytes()), "prompt": PROMPT, "variants": 3}
        return dict(asyncio.run(embedded.run(request)).values)


def test_a_picture_has_its_outlines_where_they_were_drawn(answer) -> None:
    fidelity = np.array(answer["fidelity"])
    steered = np.array(answer["steered_by"]) == "scribble"
    assert steered.sum() == 3
    assert fidelity[steered].min() >= 0.85
    assert fidelity[steered].mean() >= fidelity[~steered].mean() + 0.3, "by chance they lie elsewhere"


def test_things_that_are_drawn_have_the_colours_of_the_prompt(answer) -> None:
    for picture, name in zip(answer["pictures"], answer["steered_by"], strict=True):
        if name == "scribble":
            pixels = np.asarray(picture.rgb().resize((128, 128)), np.int16)
            cone, ball = pixels[75:85, 36:41].mean((0, 1)), pixels[75:85, 85:95].mean((0, 1))
            assert cone[0] > cone[2] + 60
            assert ball[2] > ball[0] + 60
