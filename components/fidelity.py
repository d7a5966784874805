"""How well a picture keeps to the prior that steered it: the prior, read again, against the control.

Every measure is 1 for equal and about 0 for unrelated priors.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from imagegraph.image import Image

TOLERANCE_PX = 1
PCK_PART = 0.2


def stretched(control: Image, size: tuple[int, int]) -> NDArray[np.float32]:
    """Returns a map as float32 [h, w] in 0..1, stretched to a picture's `size` as it was to steer it."""
    return np.asarray(PillowImage.fromarray(control.map()).resize(size))


def depth_fidelity(control: NDArray[np.float32], again: NDArray[np.float32]) -> float:
    """Returns Pearson's correlation of two depth maps [h, w], at least 0."""
    return _alike(control - control.mean(), again - again.mean())


def normals_fidelity(control: NDArray[np.uint8], again: NDArray[np.uint8]) -> float:
    """Returns the correlation of the directions in two maps [h, w, 3], at least 0."""
    return _alike(*(pixels - pixels.mean(axis=(0, 1)) for pixels in (control, again)))


def _alike(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Returns the cosine of two arrays, at least 0."""
    scale = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return max(0.0, float((one * other).sum()) / scale) if scale else 0.0


def segmentation_fidelity(control: NDArray[np.uint8], again: NDArray[np.uint8]) -> float:
    """Returns the mean intersection over union of the colours of two maps [h, w, 3]."""
    codes = [pixels.astype(np.int64) @ (65536, 256, 1) for pixels in (control, again)]
    colours = np.union1d(*codes)
    overlaps = [(codes[0] == colour, codes[1] == colour) for colour in colours]
    return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in overlaps]))


def edges_fidelity(control: NDArray[np.float32], again: NDArray[np.float32]) -> float:
    """Returns the F1 score of two edge maps [h, w]; an edge counts within a pixel of the other's."""
    import cv2

    one, other = (edges > 0.5 for edges in (control, again))
    if not one.any() or not other.any():
        return float(one.any() == other.any())
    kernel = np.ones((2 * TOLERANCE_PX + 1, 2 * TOLERANCE_PX + 1), np.uint8)
    near_one, near_other = (cv2.dilate(edges.astype(np.uint8), kernel) > 0 for edges in (one, other))
    precision, recall = float(near_one[other].mean()), float(near_other[one].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def scribble_fidelity(strokes: NDArray[np.bool_], lines: NDArray[np.bool_]) -> float:
    """Returns the part of thick strokes [h, w] that have a line within a stroke's width."""
    import cv2

    if not strokes.any():
        return 1.0
    reach = 2 * int(cv2.distanceTransform(strokes.astype(np.uint8), cv2.DIST_L2, 3).max()) + 1
    near = cv2.dilate(lines.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    return float(near[strokes].mean())


def pose_fidelity(control: NDArray[np.float32], again: NDArray[np.float32], threshold: float = 0.3) -> float:
    """Returns PCK@0.2: the part of key points found within a fifth of the person's longer side.

    Args:
        control, again: [people, 17, 3], px and confidence. People are matched to the nearest; the
            score is lowered by people too many.
    """
    # Its package would bring all optimisers, which takes half a second.
    from scipy.optimize._lsap import linear_sum_assignment

    if not len(control) or not len(again):
        return float(len(control) == len(again))
    hits = np.zeros((len(control), len(again)))
    for row, person in enumerate(control):
        seen = person[:, 2] >= threshold
        if not seen.any():
            continue
        reach = PCK_PART * float(np.ptp(person[seen, :2], axis=0).max())
        distance = np.linalg.norm(again[:, seen, :2] - person[seen, :2], axis=-1)
        hits[row] = (distance <= reach).mean(axis=1)
    rows, columns = linear_sum_assignment(-hits)
    return float(hits[rows, columns].sum() / max(len(control), len(again)))


def caption_fidelity(control: str, again: str) -> float:
    """Returns the F1 score of the words of two captions."""
    one, other = (re.findall(r"\w+", text.lower()) for text in (control, again))
    common = sum(min(one.count(word), other.count(word)) for word in set(one))
    return 2 * common / (len(one) + len(other)) if one or other else 1.0
