"""Magenta's transformer network as a torch module whose norms can be told what they would measure.

The original normalises by what it measures of the picture it paints, and paints 384 x 384 px alone. Here
the measures can be had beside a picture, and given with others: parts of a picture are then painted as the
whole is.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

WIDTH = 100  # of a style's vector
EPSILON = 1e-5
CHANNELS = (8, 16, 32)
RESIDUAL_BLOCKS = 5


class StyleNorm(nn.Module):
    """Conditional instance normalisation (Dumoulin et al. 2017): scale and shift come from the style."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.scale = nn.Linear(WIDTH, channels)
        self.shift = nn.Linear(WIDTH, channels)

    def forward(self, features: Tensor, style: Tensor, measured: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what is normalised, and mean and variance [styles, 2 * channels].

        Args:
            features: [styles, channels, h, w], or [1, channels, h, w] for all styles.
            style: [styles, WIDTH].
            measured: mean and variance to normalise by, or None for those of the features.
        """
        if measured is None:
            mean = features.mean((2, 3), keepdim=True)
            variance = (features - mean).square().mean((2, 3), keepdim=True)
        else:
            mean, variance = measured[..., None, None].split(self.channels, 1)
        scale = self.scale(style)[..., None, None] * torch.rsqrt(variance + EPSILON)
        shift = self.shift(style)[..., None, None] - mean * scale
        return features * scale + shift, torch.cat([mean, variance], 1).flatten(1)


class StyledConvolution(nn.Module):
    """A convolution of what is mirrored at the border, normalised."""

    def __init__(self, before: int, after: int, size: int = 3) -> None:
        super().__init__()
        self.convolution = mirrored(before, after, size)
        self.norm = StyleNorm(after)

    def forward(self, features: Tensor, style: Tensor, measured: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return features and measures, as `StyleNorm`."""
        answer: tuple[Tensor, Tensor] = self.norm(self.convolution(features), style, measured)
        return answer


def mirrored(before: int, after: int, size: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution that mirrors its input at the border, as far as it reaches."""
    return nn.Conv2d(before, after, size, stride, size // 2, padding_mode="reflect")


class StyleNetwork(nn.Module):
    """Paints pictures in the styles of vectors.

    Source: Ghiasi et al. 2017, Exploring the structure of a real-time, arbitrary neural artistic stylization
    network; of the widths that Magenta published for mobile devices.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third = CHANNELS
        self.contract = nn.ModuleList(
            [mirrored(3, first, 9), mirrored(first, second, 3, 2), mirrored(second, third, 3, 2)]
        )
        self.residual = nn.ModuleList([StyledConvolution(third, third) for _ in range(2 * RESIDUAL_BLOCKS)])
        self.expand = nn.ModuleList(
            [
                StyledConvolution(third, second),
                StyledConvolution(second, first),
                StyledConvolution(first, 3, 9),
            ]
        )

    def forward(
        self, pictures: Tensor, styles: Tensor, measured: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return paintings [styles, h, w, 3] and what the norms measured [styles, sum(measures())].

        Args:
            pictures: [styles, h, w, 3] or one for all styles, RGB 0..1; sides are multiples of four.
            styles: [styles, 1, 1, WIDTH].
            measured: what to normalise by instead.
        """
        styles = styles.flatten(1)
        given = [None] * len(self.norms()) if measured is None else measured.split(self.measures(), 1)
        found: list[Tensor] = []

        def styled(layer: StyledConvolution, features: Tensor) -> Tensor:
            features, measures = layer(features, styles, given[len(found)])
            # The first norm measures what no style has touched yet: it is the same for all.
            found.append(measures.expand(styles.shape[0], -1))
            return features

        features = pictures.permute(0, 3, 1, 2)
        for layer in self.contract:
            features = layer(features).relu()
        for first, second in zip(self.residual[::2], self.residual[1::2], strict=True):
            features = features + styled(second, styled(first, features).relu())
        for layer in self.expand[:-1]:
            features = styled(layer, interpolate(features, scale_factor=2.0)).relu()
        paintings = styled(self.expand[-1], features).sigmoid()
        return paintings.permute(0, 2, 3, 1), torch.cat(found, 1)

    def norms(self) -> list[StyleNorm]:
        """Return all norms, in the order of their measures."""
        return [layer.norm for layer in (*self.residual, *self.expand)]

    def measures(self) -> list[int]:
        """Return how many numbers each norm measures."""
        return [2 * norm.channels for norm in self.norms()]
