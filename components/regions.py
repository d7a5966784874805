"""Boxes that a request gives in px of its picture, masks of it, and the parts that they cut out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.ports import Array

MOST_REGIONS = 256
LARGEST = 512  # px of a part that is cut out; networks look at less

Boxes = Annotated[NDArray[np.float32], Array("float32", (-1, 4))]
Box = tuple[int, int, int, int]


def check_boxes(boxes: NDArray[np.float32], size: tuple[int, int]) -> None:
    """Refuses boxes that are none, or not within a picture of `size` (width, height)."""
    width, height = size
    if len(boxes) > MOST_REGIONS:
        raise InvalidInput("boxes", f"at most {MOST_REGIONS}", len(boxes))
    for index, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        # Written so that NaN is refused, too.
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            expected = f"left < right within 0..{width} and top < bottom within 0..{height}"
            raise InvalidInput(f"boxes[{index}]", expected, [x0, y0, x1, y1])


def cut_out(
    picture: Any, box: Box, mask: NDArray[np.bool_] | None, margin: float, backdrop: tuple[int, int, int]
) -> Any:
    """Returns a part of a Pillow picture as a square one of at most `LARGEST` px.

    Args:
        picture: RGB.
        box: around the part, in whole px.
        mask: bool [h, w] of the whole picture; what is not in it is the backdrop. None shows all of the box.
        margin: on every side, in parts of the box's longer side.
        backdrop: RGB, also of what lies outside the picture.
    """
    left, top, right, bottom = box
    side = max(1, round(max(right - left, bottom - top) * (1 + 2 * margin)))
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    within = max(0, x), max(0, y), min(picture.width, x + side), min(picture.height, y + side)
    piece = picture.crop(within)
    if mask is not None:
        left, top, right, bottom = within
        shown = PillowImage.fromarray(mask[top:bottom, left:right])
        piece = PillowImage.composite(piece, PillowImage.new("RGB", piece.size, backdrop), shown)
    part = PillowImage.new("RGB", (side, side), backdrop)
    part.paste(piece, (within[0] - x, within[1] - y))
    return part if side <= LARGEST else part.resize((LARGEST, LARGEST), PillowImage.Resampling.BICUBIC)


def whole_box(box: Sequence[float]) -> Box:
    """Returns the smallest box of whole px around another."""
    x0, y0, x1, y1 = box
    return int(np.floor(x0)), int(np.floor(y0)), int(np.ceil(x1)), int(np.ceil(y1))


def box_of(mask: NDArray[np.bool_]) -> Box | None:
    """Returns the box around a mask [h, w], right and bottom exclusive; None around an empty one."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def read_masks(masks: Sequence[Image], size: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """Returns masks as bool [h, w], bright = True.

    Raises:
        InvalidInput: one is not as large as the picture, `size` (width, height).
    """
    read = []
    for index, mask in enumerate(masks):
        if mask.size != size:
            raise InvalidInput(
                f"masks[{index}]", "{}x{} px, as the picture".format(*size), "{}x{}".format(*mask.size)
            )
        read.append(mask.map() > 0.5)
    return read
