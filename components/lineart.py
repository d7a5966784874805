"""Line drawings of pictures, as an artist would trace them: soft, thin, white on black."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from components.fidelity import edges_fidelity, stretched
from imagegraph.component import Reader, Weights
from imagegraph.image import Image, working_size

SMOOTHING = 0.8  # px, of the picture before lines are sought
FAINTEST, FULL = 4.0, 16.0  # colour difference a pixel, in grey levels, where lines begin and are white
SOFTNESS, GAIN = 0.6, 1.9  # px, and what softening takes from a line a pixel wide


def trace_lines(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a line drawing, [h, w]: the ridges of the colour gradient, as bright as they are strong.

    Args:
        pixels: [h, w, 3] RGB.

    Source: Di Zenzo 1986, the gradient of a multi-image; Canny 1986, non-maximum suppression.
    """
    import cv2

    smooth = cv2.GaussianBlur(pixels, (0, 0), SMOOTHING).astype(np.float32)
    across, down = (cv2.Sobel(smooth, -1, dx, 1 - dx) / 8 for dx in (1, 0))
    xx, yy, xy = (across**2).sum(2), (down**2).sum(2), (across * down).sum(2)
    strength = np.sqrt((xx + yy + np.sqrt((xx - yy) ** 2 + 4 * xy**2)) / 2)
    direction = np.arctan2(2 * xy, xx - yy) / 2
    height, width = strength.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    step_x, step_y = np.cos(direction), np.sin(direction)
    ahead, behind = (
        cv2.remap(strength, x + side * step_x, y + side * step_y, cv2.INTER_LINEAR) for side in (1, -1)
    )
    ridges = np.where((strength >= ahead) & (strength >= behind), strength, 0)
    lines = cv2.GaussianBlur(np.clip((ridges - FAINTEST) / (FULL - FAINTEST), 0, 1), (0, 0), SOFTNESS)
    drawing: NDArray[np.uint8] = (np.clip(lines * GAIN, 0, 1) * 255).round().astype(np.uint8)
    return drawing


class LineartPrior(TypedDict):
    """lineart: soft thin lines, white on black."""

    lineart: Image


class Lineart(Reader):
    """Traces the lines of a picture: by a network where there are weights, else by its colour gradient.

    Source: Chan et al. 2022, Informative Drawings; controlnet_aux.LineartDetector.
    """

    def __init__(self, size: int) -> None:
        """Lines are sought, and answered, at a shorter side of about `size` px."""
        self._size = size
        self._trace: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = trace_lines

    def load(self, weights: Weights) -> None:
        """Loads the detector's two networks, if there are weights."""
        if "model" not in weights:
            return
        from controlnet_aux import LineartDetector

        detector = LineartDetector.from_pretrained(str(weights["model"])).to(weights.device)

        def trace(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
            side = min(pixels.shape[:2])
            lines = detector(pixels, detect_resolution=side, image_resolution=side, output_type="np")
            drawing: NDArray[np.uint8] = lines[..., 0]
            return drawing

        self._trace = trace

    def predict(self, image: Image) -> LineartPrior:
        """Answers the line drawing of a picture."""
        picture = image.rgb()
        small = picture.resize(working_size(*picture.size, self._size))
        return {"lineart": Image.from_array(self._trace(np.asarray(small)))}

    def fidelity(self, control: Mapping[str, Any], again: Mapping[str, Any]) -> float:
        """Returns the F1 score of the lines."""
        return edges_fidelity(stretched(control["lineart"], again["lineart"].size), again["lineart"].map())
