"""What a person draws, made ready to steer."""

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageDraw

from components.scribble import Scribble
from imagegraph.image import Image

STROKE = 3
SCRIBBLE = Scribble(size=64, stroke=STROKE)


def drawing(ink: int = 0, paper: int = 255, width: int = 4, side: int = 256) -> Image:
    picture = PillowImage.new("L", (side, side), paper)
    box = side // 4, side // 4, 3 * side // 4, 3 * side // 4
    ImageDraw.Draw(picture).ellipse(box, outline=ink, width=width)
    return Image(pixels=picture)


def strokes(given: Image) -> np.ndarray:
    return SCRIBBLE.predict(given)["scribble"].map() > 0.5


def thickness(drawn: np.ndarray) -> int:
    """The strokes' thickness in px where the circle crosses the middle row on the left."""
    middle = drawn[len(drawn) // 2, : drawn.shape[1] // 2]
    return int(middle.sum())


def test_a_thin_pen_on_white_paper_becomes_thick_white_strokes_on_black() -> None:
    drawn = strokes(drawing(width=4))  # one px at the size that steers
    assert drawn.shape == (64, 64)
    assert thickness(drawn) >= STROKE
    assert drawn.mean() < 0.25, "the paper is black"


def test_chalk_on_a_board_is_taken_as_ink_on_paper_is() -> None:
    assert (strokes(drawing(ink=255, paper=0)) == strokes(drawing())).mean() > 0.99


def test_a_faint_pencil_is_seen_and_a_brush_stays_as_thick_as_it_is() -> None:
    assert (strokes(drawing(ink=150)) == strokes(drawing())).mean() > 0.95
    assert thickness(strokes(drawing(width=40))) == pytest.approx(10, abs=1)


@pytest.mark.parametrize("paper", [255, 0, 128])
def test_empty_paper_steers_nothing(paper: int) -> None:
    assert SCRIBBLE.predict(Image(pixels=PillowImage.new("L", (256, 256), paper))) == {}
    assert SCRIBBLE.predict() == {}


def test_a_picture_keeps_to_a_drawing_as_far_as_its_lines_lie_on_the_strokes() -> None:
    control = SCRIBBLE.predict(drawing())
    alike = PillowImage.new("RGB", (256, 256), (90, 90, 90))
    ImageDraw.Draw(alike).ellipse((64, 64, 192, 192), fill=(200, 30, 30))
    other = PillowImage.new("RGB", (256, 256), (90, 90, 90))
    ImageDraw.Draw(other).rectangle((0, 200, 60, 256), fill=(200, 30, 30))
    near, far = (SCRIBBLE.fidelity(control, SCRIBBLE.again(Image(pixels=one))) for one in (alike, other))
    assert near > 0.95
    assert far < 0.2
