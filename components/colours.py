"""Names of colours: those that the pocket generator knows, and black, white, grey and brown."""

from __future__ import annotations

import colorsys
import functools

import numpy as np
from numpy.typing import NDArray

# Hues in degrees up to which a colour has its name; beyond the last it is red again.
_HUES = (
    (10, "red"), (42, "orange"), (68, "yellow"), (165, "green"), (200, "cyan"), (255, "blue"),
    (288, "purple"), (343, "pink"), (360, "red"),
)  # fmt: skip
_DARK, _BRIGHT = 0.22, 0.78
_GREY = 0.18  # saturation below which a colour is none
_BROWN = 0.58  # brightness below which orange is brown
_LEVELS = 16  # of each channel, that are told apart


def colour_names(pixels: NDArray[np.uint8]) -> list[str]:
    """Returns the names of the colours of pixels [n, 3] (sRGB), the most frequent first."""
    step = 256 // _LEVELS
    codes, counts = np.unique(pixels.reshape(-1, 3) // step, axis=0, return_counts=True)
    areas: dict[str, int] = {}
    for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
        name = _name(*((level + 0.5) * step / 255 for level in code))
        areas[name] = areas.get(name, 0) + count
    return sorted(areas, key=lambda name: -areas[name])


@functools.cache
def _name(red: float, green: float, blue: float) -> str:
    hue, saturation, brightness = colorsys.rgb_to_hsv(red, green, blue)
    if brightness < _DARK:
        return "black"
    if saturation < _GREY:
        return "white" if brightness > _BRIGHT else "grey"
    name = next(name for limit, name in _HUES if hue * 360 <= limit)
    return "brown" if name == "orange" and brightness < _BROWN else name
