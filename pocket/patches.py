"""A lesson beside the main one for models that look through a ViT: what is in each patch.

A caption says little about a picture, so an encoder taught by captions alone starts slowly. Naming
the object in every patch is a far richer lesson; its linear head is dropped after training.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pocket.data import Scenes
from pocket.training import DEVICE
from pocket.world import COLOURS, SHAPES, SIZE

PATCH = 16  # px
OBJECT_WEIGHT = 6.0  # of an object's patch against one without


class PatchLesson(nn.Module):
    """Read shape and colour of the object in each patch from the encoder's answer.

    Args:
        width: of the encoder.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shape = nn.Linear(width, len(SHAPES) + 1)
        self.colour = nn.Linear(width, len(COLOURS) + 1)

    def forward(self, tokens: Tensor, truth: Tensor) -> Tensor:
        """Return the loss.

        Args:
            tokens: [N, 1 + patches, width], the class token first.
            truth: int64 [N, patches, 2] from `patch_truth`.
        """
        patches = tokens[:, 1:]
        losses = []
        for k, head in enumerate((self.shape, self.colour)):
            logits = head(patches).flatten(0, 1)
            weight = torch.full((logits.shape[1],), OBJECT_WEIGHT, device=logits.device)
            weight[0] = 1
            losses.append(F.cross_entropy(logits, truth[..., k].flatten(), weight))
        return losses[0] + losses[1]


def patch_truth(scenes: Scenes, chosen: NDArray[np.intp]) -> Tensor:
    """Return int64 [N, patches, 2]: shape and colour at each patch's centre, 0 = no object."""
    centres = scenes.instances[chosen][:, PATCH // 2 : SIZE : PATCH, PATCH // 2 : SIZE : PATCH]
    names = np.zeros((len(chosen), 1 + max(map(len, scenes.objects)), 2), np.int64)
    for row, i in zip(names, chosen, strict=True):
        for k, (colour, shape) in enumerate(scenes.objects[i]):
            row[k + 1] = 1 + SHAPES.index(shape), 1 + list(COLOURS).index(colour)
    truth = names[np.arange(len(chosen))[:, None], centres.reshape(len(chosen), -1)]
    return torch.from_numpy(truth).to(DEVICE)
