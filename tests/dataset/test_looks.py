"""Copies are found whatever was done to them; what only looks similar stays."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from imagegraph.dataset.looks import Dropped, Look, look_at, without_copies
from imagegraph.dataset.sources import Candidate


def encoded(picture: Pillow.Image, format_: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def look(name: str, picture: Pillow.Image, format_: str = "PNG", **options) -> Look:
    found = look_at(Candidate(name, encoded(picture, format_, **options)))
    assert isinstance(found, Look)
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda one: (one, "JPEG", {"quality": 40}),
        lambda one: (one.resize((100, 100)), "PNG", {}),
        lambda one: (one.resize((512, 512)), "WEBP", {"quality": 60}),
        lambda one: (Pillow.eval(one, lambda value: min(255, value + 6)), "PNG", {}),
    ],
)
def test_a_picture_that_was_saved_anew_is_a_copy(scenes, change):
    for index, scene in enumerate(scenes[:6]):
        picture, format_, options = change(scene)
        kept, dropped = without_copies([look("a", scene), look("b", picture, format_, **options)])
        assert len(kept) == len(dropped) == 1, index
        assert kept[0].size == max(scene.size, picture.size), "the larger one stays"


def test_different_scenes_are_no_copies(scenes):
    kept, dropped = without_copies([look(str(index), scene) for index, scene in enumerate(scenes)])
    assert (len(kept), dropped) == (len(scenes), [])


def test_the_same_thing_in_another_colour_is_no_copy():
    """A perceptual hash alone knows light and dark only."""
    ball = Pillow.radial_gradient("L")
    red, blue = (ImageOps.colorize(ball, colour, "grey") for colour in ("#b00000", "#0050e0"))
    kept, _ = without_copies([look("red", red), look("blue", blue)])
    assert [one.name for one in kept] == ["red", "blue"]


def test_a_picture_is_looked_at_upright(scenes):
    turned = scenes[0].transpose(Pillow.Transpose.ROTATE_90)
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turn it by 90 degrees to the right
    kept, dropped = without_copies([look("a", scenes[0]), look("b", turned, exif=exif)])
    assert (len(kept), len(dropped)) == (1, 1)


def test_who_has_the_copyright_is_known(scenes):
    exif = Pillow.Exif()
    exif[0x8298] = "Ann Example"
    assert look("a", scenes[0], "JPEG", exif=exif).copyright == "Ann Example"
    assert look("a", scenes[0], "JPEG").copyright == ""


@pytest.mark.parametrize("length", [0, 10, 200, 2000])
def test_what_is_no_picture_or_half_of_one_is_dropped_with_a_reason(scenes, length):
    found = look_at(Candidate("broken.png", encoded(scenes[0])[:length]))
    assert isinstance(found, Dropped)
    assert found.name == "broken.png"
    assert found.why
    assert not found.is_copy


def test_the_place_of_a_picture_depends_on_nothing_but_itself(scenes):
    shares = [look(str(index), scene).share for index, scene in enumerate(scenes)]
    again = [look("x", scene, "JPEG", quality=95).share for scene in scenes]
    assert np.mean(np.isclose(shares, again)) > 0.5, "most copies have the very same hash"
    assert all(0 <= share < 1 for share in shares)
    assert 0.25 < np.mean(shares) < 0.75
