"""Points and boxes that ask for a part of a scene, as people give them, and the part that is meant."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.masks import boxes_around
from pocket.data import MOST_OBJECTS, Scenes
from pocket.world import SIZE

REGIONS = 2 + MOST_OBJECTS  # wall, floor and the objects: the labels of `regions`
GROUPS, GROUND = 0.15, 0.15  # of the prompts mean several objects, and the wall or the floor
SHARE = 0.7  # of a scene's objects belong to such a group
POSITIVE = 0.6  # of the points after the first are in what is meant
JITTER = 1.5  # px; how far the sides of a box stray
PADDING = -10  # the label by which SAM ignores a point


class Prompts(NamedTuple):
    """What is asked of pictures, and what is meant.

    Attributes:
        points: [N, P, K, 2] x, y in px.
        labels: [N, P, K], 1 = in what is meant, 0 = not, -10 = no point.
        boxes: [N, P, 4] x0, y0, x1, y1 in px.
        meant: bool [N, P, H, W].
        under: bool [N, P, H, W], the region under the first point, which a single point may mean as well.
    """

    points: Tensor
    labels: Tensor
    boxes: Tensor
    meant: Tensor
    under: Tensor


def regions(scenes: Scenes) -> NDArray[np.uint8]:
    """Return maps [N, H, W]: 0 = wall, 1 = floor, k + 2 = objects[n][k]."""
    maps = np.array(scenes.instances)
    maps += 1
    ground = maps == 1
    maps[ground] = scenes.segmentation[ground]
    return maps


def ask(maps: Tensor, prompts: int, points: int, generator: torch.Generator) -> Prompts:
    """Draw prompts for pictures; all at once, on the device of their maps.

    Args:
        maps: uint8 [N, H, W] from `regions`.
        prompts: number for each picture.
        points: most of one prompt; some have fewer, at least one.
        generator: on the device of the maps; equal generators give equal prompts.
    """
    n, device = len(maps), maps.device
    spread = maps.flatten(1).long()[:, None].expand(n, prompts, -1)
    names = torch.arange(REGIONS, device=device)

    def chance(*shape: int) -> Tensor:
        return torch.rand(n, prompts, *shape, generator=generator, device=device)

    # What is meant: one region of those that the picture has, or several objects.
    here = (spread[..., None] == names).any(2)
    kind = chance(1)
    candidates = here & torch.where(kind < GROUND, names < 2, names >= 2)
    order = chance(REGIONS).masked_fill(~candidates, -1)
    members = order == order.amax(2, keepdim=True)
    members |= candidates & (kind > 1 - GROUPS) & (chance(REGIONS) < SHARE)
    meant = members.gather(2, spread)

    # Pixels of it and beside it; a click that means "not this" is most often on another object.
    weights = torch.stack([meant.float(), ~meant * torch.where(spread >= 2, 4.0, 1.0) + 1e-9])
    pixels = torch.multinomial(weights.flatten(0, 2), points, replacement=True, generator=generator)
    inside, outside = pixels.view(2, n, prompts, points)
    labels = (chance(points) < POSITIVE).long()
    labels[..., 0] = 1
    chosen = torch.where(labels == 1, inside, outside)
    absent = torch.arange(points, device=device) > (chance(1) * points).long()
    shape = (n, prompts, *maps.shape[1:])
    return Prompts(
        points=torch.stack([chosen % SIZE, chosen // SIZE], dim=-1).float(),
        labels=labels.masked_fill(absent, PADDING),
        boxes=boxes_around(meant.view(shape)) + JITTER * (2 * chance(4) - 1),
        meant=meant.view(shape),
        under=(spread.gather(2, chosen[..., :1]) == spread).view(shape),
    )
