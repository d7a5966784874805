"""What the perception models are shown: pictures as tensors, a little worse than the renderer's."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocket.training import DEVICE, gaussian

HALF = [
    0.5,
    0.5,
    0.5,
]  # `image_mean` and `image_std` of the processors: pixel values are -1..1
NOISE = 0.06  # largest standard deviation
CONTRAST = 0.08  # largest change of a picture's contrast and brightness


def to_tensor(images: NDArray[np.uint8] | Tensor) -> Tensor:
    """Turn uint8 [N, H, W, 3] into [N, 3, H, W] in -1..1."""
    return torch.as_tensor(images).to(DEVICE).permute(0, 3, 1, 2).float() / 127.5 - 1


def recolour(images: NDArray[np.uint8] | Tensor, rng: np.random.Generator, share: float = 0.5) -> Tensor:
    """Exchange the colour channels of a share of the pictures, so that no shape hangs on a colour."""
    orders = rng.permuted(np.tile(range(3), (len(images), 1)), axis=1)
    orders[rng.random(len(images)) >= share] = range(3)
    chosen = torch.from_numpy(orders).to(DEVICE)[:, None, None].expand(images.shape)
    return torch.as_tensor(images).to(DEVICE).gather(3, chosen)


def roughen(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur, dim and grain each picture at random, so that drawn pictures are understood too.

    Args:
        pixels: [N, 3, H, W] in -1..1.
        rng: decides how much; half of the pictures keep their sharpness.
    """
    n = len(pixels)

    def uniform(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (n, 1, 1, 1)).astype(np.float32)).to(DEVICE)

    soft = F.interpolate(F.avg_pool2d(pixels, 2), scale_factor=2.0, mode="bilinear")
    pixels = torch.lerp(pixels, soft, uniform(-1, 1).clamp(min=0))
    pixels = pixels * (1 + uniform(-CONTRAST, CONTRAST)) + uniform(-CONTRAST, CONTRAST)
    return (pixels + uniform(-NOISE, NOISE).clamp(min=0) * gaussian(pixels.shape, rng)).clamp(-1, 1)
