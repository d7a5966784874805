"""The compact super-resolution network of Real-ESRGAN."""

from __future__ import annotations

import itertools

from torch import Tensor, nn


class CompactNetwork(nn.Module):  # type: ignore[misc]
    """Adds what plain convolutions find at the small size to the picture, enlarged.

    Source: Wang et al. 2021, Real-ESRGAN, `SRVGGNetCompact`.
    """

    def __init__(self, channels: int, convolutions: int, scale: int) -> None:
        """Takes the width, the number of convolutions between the first and the last, and the factor."""
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise([3, *[channels] * (convolutions + 1)]):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.PReLU(after)]
        layers.append(nn.Conv2d(channels, 3 * scale**2, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> Tensor:
        """Enlarges [pictures, 3, h, w], RGB 0..1."""
        details = nn.functional.pixel_shuffle(self.layers(pictures), self.scale)
        enlarged: Tensor = nn.functional.interpolate(pictures, scale_factor=self.scale, mode="nearest")
        return details + enlarged
