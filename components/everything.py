"""All masks of a picture, which nobody points at: by a grid of points over it, and over enlarged parts of it.

Source: Kirillov et al. 2023, Segment Anything, appendix B (automatic mask generation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.masks import boxes_around, stability

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 64  # points of the grid that are decoded at once
OVERLAP = 512 / 1500  # of neighbouring halves of a picture, in its shorter side
NEAR = 0.01  # of a part's side: a mask that comes so near to where it was cut may be cut, too

# Decodes points [n, 2], each a prompt of its own, to logits [n, masks, h, w] and the IoU that the model
# foresees for them [n, masks].
Decode = Callable[["Tensor"], tuple["Tensor", "Tensor"]]


class Part(NamedTuple):
    """A part of a picture, in px; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Its width and height."""
        return self.right - self.left, self.bottom - self.top


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


@dataclass(frozen=True)
class View:
    """A part of a picture as the model sees it.

    Attributes:
        part: of the picture.
        used: how much of the width and height of logits shows it; the rest is padding. 0..1 each.
        decode: decodes points of it.
        points: [n, 2], as `decode` takes them.
    """

    part: Part
    used: tuple[float, float]
    decode: Decode
    points: Tensor


class Found(NamedTuple):
    """Masks, best first: logits [N, h, w] each of its own part of the picture, scores [N], and the parts."""

    logits: Tensor
    scores: Tensor
    parts: list[Part]


def grid(side: int) -> NDArray[np.float32]:
    """Returns points [side², 2], x and y of 0..1, each in the middle of its cell of a square grid."""
    steps = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2).astype(np.float32)


def parts(size: tuple[int, int], layers: int) -> Iterator[tuple[int, Part]]:
    """Yields parts of a picture, each with its layer: all of it in layer 0, then 2 x 2, 4 x 4, ….

    Args:
        size: width and height in px.
        layers: how many beside layer 0.
    """
    yield 0, Part(0, 0, *size)
    for layer in range(1, layers + 1):
        side = 2**layer
        overlap = int(OVERLAP * min(size) * 2 / side)
        width, height = (math.ceil((overlap * (side - 1) + length) / side) for length in size)
        for row in range(side):
            for column in range(side):
                left, top = column * (width - overlap), row * (height - overlap)
                right, bottom = min(left + width, size[0]), min(top + height, size[1])
                if left < right and top < bottom:
                    yield layer, Part(left, top, right, bottom)


def everything(views: Iterable[View], limits: Limits) -> Found:
    """Returns the masks that a grid of points finds in each of several views.

    Masks are compared as they lie in the first view, which is of the whole picture.
    """
    import torch

    logits, scores, masks, of = [], [], [], []
    whole: View | None = None
    for view in views:
        drawn, foreseen = _good(view, limits)
        if whole is None:
            whole = view
            masks.append(drawn > 0)
        else:
            complete = ~_cut_off(drawn > 0, view, whole.part)
            drawn, foreseen = drawn[complete], foreseen[complete]
            masks.append(_placed(drawn, view, whole))
        logits.append(drawn)
        scores.append(foreseen)
        of += [view.part] * len(drawn)
    found, found_scores, seen = (torch.cat(one) for one in (logits, scores, masks))
    kept = distinct(boxes_around(seen), found_scores, limits.overlap).to(found.device)
    kept = kept[unlike(seen[kept], limits.shared)]
    return Found(found[kept], found_scores[kept], [of[index] for index in kept.tolist()])


def _good(view: View, limits: Limits) -> tuple[Tensor, Tensor]:
    """Returns the masks of a view that the model thinks good: logits [N, h, w] and scores [N]."""
    import torch

    logits, scores = [], []
    for some in view.points.split(BATCH):
        drawn, foreseen = (one.flatten(0, 1) for one in view.decode(some))
        good = (foreseen >= limits.iou) & (stability(drawn) >= limits.stability)
        logits.append(drawn[good])
        scores.append(foreseen[good])
    return without_specks(torch.cat(logits), limits.part), torch.cat(scores)


def _cut_off(masks: Tensor, view: View, whole: Part) -> Tensor:
    """Returns of masks [N, h, w] whether they come near an edge of their part that is none of the picture."""
    import torch

    part = view.part
    height, width = (side * used for side, used in zip(masks.shape[-2:], reversed(view.used), strict=True))
    x0, y0, x1, y1 = boxes_around(masks).float().unbind(-1)
    cut = torch.zeros(len(masks), dtype=torch.bool, device=masks.device)
    for is_inner, is_near in (
        (part.left > whole.left, x0 <= NEAR * width),
        (part.top > whole.top, y0 <= NEAR * height),
        (part.right < whole.right, x1 >= (1 - NEAR) * width),
        (part.bottom < whole.bottom, y1 >= (1 - NEAR) * height),
    ):
        if is_inner:
            cut |= is_near
    return cut


def _placed(logits: Tensor, view: View, whole: View) -> Tensor:
    """Returns masks [N, h, w] as they would lie in the view of the whole picture."""
    import torch
    from torch.nn import functional

    height, width = logits.shape[-2:]
    across, down = (
        side * used / length
        for side, used, length in zip((width, height), whole.used, whole.part.size, strict=True)
    )
    left, right = (round(x * across) for x in (view.part.left, view.part.right))
    top, bottom = (round(y * down) for y in (view.part.top, view.part.bottom))
    masks = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
    if left < right and top < bottom and len(logits):
        own = logits[:, None, : round(height * view.used[1]), : round(width * view.used[0])]
        small = functional.interpolate(own, (bottom - top, right - left), mode="bilinear", antialias=True)
        masks[:, top:bottom, left:right] = small[:, 0] > 0
    return masks


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
