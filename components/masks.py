"""Masks as tensors: their boxes, how stable they are, which of many to keep, and their outlines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Ring = list[list[int]]
Polygon = list[Ring]
BATCH = 64  # points of the grid that are decoded at once
STRAY = 0.05  # of a box's longer side: so far it may be drawn too small

# Decodes points [n, 2], each a prompt of its own, to logits [n, masks, h, w] and the IoU that the model
# foresees for them [n, masks].
Decode = Callable[["Tensor"], tuple["Tensor", "Tensor"]]


@dataclass(frozen=True)
class Limits:
    """Which masks of a picture are kept that nobody pointed at.

    Attributes:
        iou: least IoU that the model foresees for itself, 0..1.
        stability: see `stability`, 0..1.
        overlap: most IoU of its box with that of a better mask, 0..1.
        shared: most IoU with a better mask itself, 0..1.
        part: see `without_specks`, 0..1.
    """

    iou: float
    stability: float
    overlap: float
    shared: float = 1.0
    part: float = 0.0


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


def grid(side: int) -> NDArray[np.float32]:
    """Returns points [side², 2], x and y of 0..1, each in the middle of its cell of a square grid."""
    steps = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2).astype(np.float32)


def distinct(boxes: Tensor, scores: Tensor, most_overlap: float) -> Tensor:
    """Returns the indices of masks to keep, best first: none whose box overlaps a better one's by more.

    Args:
        boxes: [N, 4] around the masks.
        scores: [N].
        most_overlap: IoU of boxes, 0..1.
    """
    from torchvision.ops import nms

    return nms(boxes.float().cpu(), scores.float().cpu(), most_overlap)


def unlike(masks: Tensor, most_shared: float) -> list[int]:
    """Returns the indices of masks [N, H, W], best first, whose IoU with a better one is not more."""
    areas = masks.sum((-2, -1))
    kept: list[int] = []
    for index, mask in enumerate(masks):
        both = (masks[kept] & mask).sum((-2, -1))
        if (both <= most_shared * (areas[kept] + areas[index] - both)).all():
            kept.append(index)
    return kept


def without_specks(logits: Tensor, least_part: float) -> Tensor:
    """Returns logits [N, H, W] whose masks have no part that is less than `least_part` of all of it.

    A speck far from the object would stretch its box. What was one becomes surely none of it.
    """
    import cv2
    import torch

    cleaned = logits.clone()
    for one in cleaned:
        _, labels, facts, _ = cv2.connectedComponentsWithStats((one > 0).cpu().numpy().astype(np.uint8))
        areas = facts[1:, cv2.CC_STAT_AREA]
        specks = 1 + np.flatnonzero(areas < least_part * areas.sum())
        if len(specks):
            one[torch.from_numpy(np.isin(labels, specks)).to(one.device)] = one.min()
    return cleaned


def everything(decode: Decode, points: Tensor, limits: Limits) -> tuple[Tensor, Tensor]:
    """Returns the masks of a picture that many points find: logits [N, h, w] and scores [N], best first.

    Args:
        points: [n, 2], as `decode` takes them.

    Source: Kirillov et al. 2023, Segment Anything, appendix B (automatic mask generation).
    """
    import torch

    logits, scores = [], []
    for some in points.split(BATCH):
        drawn, foreseen = (one.flatten(0, 1) for one in decode(some))
        good = (foreseen >= limits.iou) & (stability(drawn) >= limits.stability)
        logits.append(drawn[good])
        scores.append(foreseen[good])
    found, found_scores = without_specks(torch.cat(logits), limits.part), torch.cat(scores)
    kept = distinct(boxes_around(found > 0), found_scores, limits.overlap).to(found.device)
    kept = kept[unlike(found[kept] > 0, limits.shared)]
    return found[kept], found_scores[kept]


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
