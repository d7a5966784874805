"""Polygons with holes, filled as whoever reads them would."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def filled(polygons: list[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Fills polygons, each with its outermost pixels, also with those around its holes."""
    mask = np.zeros(shape, np.uint8)
    for outer, *holes in polygons:
        part = np.zeros(shape, np.uint8)
        cv2.fillPoly(part, [np.array(outer)], 1)
        for hole in holes:
            cv2.fillPoly(part, [np.array(hole)], 0)
            cv2.polylines(part, [np.array(hole)], True, 1)
        mask |= part
    return mask > 0
