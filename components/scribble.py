"""What a person draws: outlines on white paper, made ready to steer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.fidelity import scribble_fidelity
from components.lineart import trace_lines
from imagegraph.component import Reader
from imagegraph.image import Image, working_size

INK = 0.25  # of the way from the paper to the darkest stroke: what is beyond is drawn


class ScribblePrior(TypedDict):
    """scribble: thick white strokes on black; absent where nothing was drawn."""

    scribble: NotRequired[Image]


class Scribble(Reader):
    """Takes a drawing, dark on light paper or light on dark, and gives its strokes the thickness to steer.

    Nothing is read from a photo: who wants a picture to follow a drawing draws it.

    Source: Zhang et al. 2023, ControlNet, scribbles.
    """

    def __init__(self, size: int, stroke: int) -> None:
        """Drawings are answered with a shorter side of about `size` px and strokes of `stroke` px or more."""
        self._size = size
        self._stroke = stroke

    def predict(
        self,
        drawing: Annotated[
            Image | None,
            Field(
                description="What the picture shall follow, drawn in a few strokes",
                json_schema_extra={"drawn": True},  # by a person, who may draw it in the form
            ),
        ] = None,
    ) -> ScribblePrior:
        """Answers the strokes of a drawing; nothing where there is no drawing, or nothing on it."""
        if drawing is None:
            return {}
        picture = drawing.rgb()
        pixels = np.asarray(picture.convert("L").resize(working_size(*picture.size, self._size)), np.float32)
        ink = np.abs(pixels - np.median(pixels))  # most of a drawing is paper
        if ink.max() < 255 * INK:
            return {}
        return {"scribble": Image.from_array(thicken(ink > INK * ink.max(), self._stroke))}

    def again(self, picture: Image) -> Mapping[str, Any]:
        """Answers the lines of a drawn picture, thin as they are."""
        pixels = picture.rgb()
        small = pixels.resize(working_size(*pixels.size, self._size))
        return {"scribble": Image.from_array(trace_lines(np.asarray(small)))}

    def fidelity(self, control: Mapping[str, Any], again: Mapping[str, Any]) -> float:
        """Returns how much of the strokes is found again as lines; a scribble leaves out what it likes."""
        seen = again["scribble"]
        strokes = np.asarray(control["scribble"].map_rgb().convert("L").resize(seen.size))
        return scribble_fidelity(strokes > 127, seen.map() > 0.5)


def thicken(strokes: NDArray[np.bool_], width: int) -> NDArray[np.uint8]:
    """Returns strokes [h, w], white on black; if on average thinner than `width` px, they become so thick."""
    import cv2

    drawing: NDArray[np.uint8] = strokes.astype(np.uint8) * 255
    outlines, _ = cv2.findContours(drawing, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    around = sum(cv2.arcLength(outline, True) for outline in outlines)
    thickness = 2 * strokes.sum() / max(around, 1)
    if thickness < width:
        lacking = math.ceil(width - thickness) + 1
        drawing = cv2.dilate(drawing, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (lacking, lacking)))
    return drawing
