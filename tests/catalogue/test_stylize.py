"""A photo comes out in four styles, as another model than the one that ranks them sees it."""

import asyncio

import numpy as np
import pytest
import torch

from imagegraph.image import Image
from imagegraph.run.embedded import Embedded
from imagegraph.spec.catalogue import Catalogue
from pocket import train_style_judge
from pocket.bundle import reader
from pocket.pictures import to_tensor
from pocket.styles import STYLES
from pocket.train_style_judge import MANNERS
from pocket.world import make_scene
from tests.catalogue.conftest import BUNDLE

PHOTOS = [Image.from_array(make_scene(seed, "seen", objects=1).image) for seed in range(3)]
ARCHITECTURES = ("words", "photo-and-words")


@pytest.fixture(scope="module")
def drawn():
    """What is answered of each photo, by architecture."""
    catalogue = Catalogue.read()

    async def ask(embedded, architecture):
        asked = [{"image": photo, "architecture": architecture} for photo in PHOTOS]
        return [one.values for one in await asyncio.gather(*map(embedded.run, asked))]

    async def ask_all(embedded):
        return {one: await ask(embedded, one) for one in ARCHITECTURES}

    with Embedded(catalogue.graph("stylize").root, BUNDLE, catalogue, "cpu") as embedded:
        return asyncio.run(ask_all(embedded))


@pytest.fixture(params=ARCHITECTURES)
def answers(drawn, request):
    return drawn[request.param]


def test_each_picture_is_in_the_style_that_was_asked_for(answers):
    told = []
    for one in answers:
        pixels = np.stack([np.asarray(picture.rgb().resize((128, 128))) for picture in one["pictures"]])
        with torch.no_grad():
            manners = train_style_judge.judge(reader("style-judge"), to_tensor(pixels))[0].argmax(1)
        told += [MANNERS[index] == style for index, style in zip(manners, one["in_style"], strict=True)]
    assert len(told) == len(PHOTOS) * len(STYLES)
    assert np.mean(told) >= 0.85


def test_pictures_are_ranked_by_how_likely_they_are_in_their_style(answers):
    for one in answers:
        assert one["in_style"] == list(STYLES)
        ranked = [one["style_confidences"][index] for index in one["order"]]
        assert ranked == sorted(ranked, reverse=True)
        assert one["style_answers"] == [int(chance > 0.5) for chance in one["style_confidences"]]
    assert np.mean([one["style_answers"] for one in answers]) >= 0.9


def test_the_captions_words_are_in_every_prompt(answers):
    for one in answers:
        assert all(prompt.startswith(one["caption"]) for prompt in one["prompts"])
