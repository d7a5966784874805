"""Line drawings by the colour gradient, without weights."""

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from components.lineart import Lineart, trace_lines
from imagegraph.image import Image


def test_the_outline_of_a_thing_is_a_thin_line_and_what_is_flat_is_black() -> None:
    pixels = np.full((64, 64, 3), 120, np.uint8)
    pixels[16:48, 16:48] = (200, 40, 40)
    lines = trace_lines(pixels)
    assert lines[32, 14:18].max() > 200
    assert (lines[32] > 127).sum() <= 6, "two lines, each at most three px wide"
    assert not lines[24:40, 24:40].any()
    assert not lines[:8].any()


def test_things_of_equal_brightness_are_told_apart_by_colour() -> None:
    pixels = np.full((64, 64, 3), (200, 50, 50), np.uint8)
    pixels[:, 32:] = (50, 132, 50)
    assert abs(np.ptp(np.asarray(PillowImage.fromarray(pixels).convert("L")).astype(int))) < 15
    assert trace_lines(pixels)[32, 30:34].max() > 200


def test_a_picture_is_traced_at_the_size_that_steers_and_keeps_to_its_own_lines() -> None:
    picture = PillowImage.new("RGB", (300, 200), (90, 90, 90))
    ImageDraw.Draw(picture).ellipse((90, 40, 210, 160), fill=(200, 30, 30))
    tracer = Lineart(size=64)
    drawn = tracer.predict(Image(pixels=picture))
    assert min(drawn["lineart"].size) == 64
    assert tracer.fidelity(drawn, tracer.again(Image(pixels=picture))) == 1
    blank = Image(pixels=PillowImage.new("RGB", (300, 200), (90, 90, 90)))
    assert tracer.fidelity(drawn, tracer.again(blank)) == 0
