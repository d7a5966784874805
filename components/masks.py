"""Masks as tensors: their boxes, how stable they are, which of many to keep, and their outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


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
