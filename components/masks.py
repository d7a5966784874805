"""Masks as tensors: their boxes, how stable they are, and their outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Ring = list[list[int]]
Polygon = list[Ring]
STRAY = 0.05  # of a box's longer side: so far it may be drawn too small


def boxes_around(masks: Tensor) -> Tensor:
    """Returns boxes [..., 4] x0, y0, x1, y1 in px around masks [..., H, W]; all 0 around an empty one.

    The corner x1, y1 is exclusive, so a box's size is that of the mask.
    """
    import torch

    sides = []
    for axis in (-2, -1):  # columns, then rows
        hit = masks.any(axis)
        steps = torch.arange(hit.shape[-1], device=masks.device)
        low = steps.masked_fill(~hit, hit.shape[-1]).amin(-1)
        sides.append((low * hit.any(-1), steps.masked_fill(~hit, -1).amax(-1) + 1))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=-1)


def within(masks: Tensor, boxes: Tensor) -> Tensor:
    """Returns masks [..., H, W] without what lies outside boxes [..., 4] in px, grown by `STRAY`."""
    import torch

    x0, y0, x1, y1 = boxes[..., None].unbind(-2)
    stray = STRAY * torch.maximum(x1 - x0, y1 - y0)
    y, x = (torch.arange(side, device=masks.device) + 0.5 for side in masks.shape[-2:])
    across, down = (x > x0 - stray) & (x < x1 + stray), (y > y0 - stray) & (y < y1 + stray)
    return masks & down[..., None] & across[..., None, :]


def stability(logits: Tensor, offset: float = 1.0) -> Tensor:
    """Returns how little masks [..., H, W] change when their threshold moves by `offset`, 0..1.

    Source: Kirillov et al. 2023, Segment Anything, appendix B: the IoU of both cuts.
    """
    inner, outer = (logits > offset).sum((-2, -1)), (logits > -offset).sum((-2, -1))
    return inner / outer.clamp(min=1)


def outline(mask: NDArray[np.bool_], tolerance: float) -> list[Polygon]:
    """Returns a polygon of each part of a mask [h, w]: its outline, then those of its holes.

    A ring is a list of [x, y] in px, on the middle of the mask's own outermost pixels, and is not closed
    by its first point.

    Args:
        tolerance: how far an outline may stray, in px; 0 keeps every corner.

    Source: Suzuki and Abe 1985 (outlines); Douglas and Peucker 1973 (fewer points).
    """
    import cv2

    rings, kinship = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    polygons: dict[int, Polygon] = {}
    # Of each ring the next, the previous, the first child and the parent; outer rings have no parent.
    parents: list[int] = [] if kinship is None else kinship[0, :, 3].tolist()
    simple = [_simplified(ring, tolerance) for ring in rings]
    for index, parent in enumerate(parents):
        if parent < 0:
            polygons[index] = [simple[index]]
    for index, parent in enumerate(parents):
        if parent >= 0:
            polygons[parent].append(simple[index])
    return list(polygons.values())


def _simplified(ring: Any, tolerance: float) -> Ring:
    import cv2

    points: Ring = cv2.approxPolyDP(ring, tolerance, closed=True)[:, 0].tolist()
    return points
