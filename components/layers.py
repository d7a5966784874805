"""A stand-in for depth where there is no depth network: a floor that rises, and cut-outs on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from components.cutout import Cutter, readable
from components.depth import DepthPrior, DepthReader
from imagegraph.component import Weights
from imagegraph.image import Image, working_size


class Layers(DepthReader):
    """Lays a picture out in layers, by geometry alone: nothing here estimates depth.

    The lower, the nearer, as on a floor; people and the main subject stand upright where their lowest
    row touches it. Right for things on the ground, wrong for landscapes and for what hangs or flies.
    """

    roles = ("detector", "person", "subject")

    def __init__(self, size: int) -> None:
        """Maps are answered with a shorter side of about `size` px, that of the generator."""
        self._size = size

    def load(self, weights: Weights) -> None:
        """Opens what cuts out people and the main subject."""
        self._cutter = Cutter.of(weights)

    def predict(self, image: Image) -> DepthPrior:
        """Answers the layers as a depth map."""
        picture = readable(image)
        cutouts = self._cutter.cut(picture)
        size = working_size(*picture.size, self._size)
        standing = PillowImage.fromarray(cutouts.person | cutouts.subject).resize(size)
        nearness = layers(np.asarray(standing))
        return {"depth": Image.from_array(np.round(nearness * 65535).astype(np.uint16))}


def layers(standing: NDArray[Any]) -> NDArray[np.float64]:
    """Returns nearness [h, w], 0 in the first row and 1 in the last.

    Args:
        standing: [h, w], where something stands upright; each connected part is as near as its foot.
    """
    import cv2

    height, width = standing.shape
    nearness = np.repeat(np.linspace(0, 1, height)[:, None], width, axis=1)
    floor = nearness[:, 0].copy()
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(standing.astype(np.uint8))
    for part in range(1, count):
        foot = boxes[part, cv2.CC_STAT_TOP] + boxes[part, cv2.CC_STAT_HEIGHT] - 1
        nearness[parts == part] = floor[foot]
    return nearness
