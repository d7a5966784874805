"""The pictures that steer pocket's ControlNets, drawn from the truth of scenes as the product draws them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from components.lineart import trace_lines
from components.pose import draw_people
from pocket.world import PALETTE

Picture = NDArray[np.uint8]

STROKE = (2, 4)  # px; how thick a person draws
JITTER = 0.9  # px; how far a hand strays from an outline
SHARPEST = 1.6  # px; how much of an outline a hand leaves out


class Truth(NamedTuple):
    """What is known of a scene, by its truth or by what models read.

    Attributes:
        image: uint8 [H, W, 3].
        depth: [H, W] of any unit, larger = nearer.
        segmentation: uint8 [H, W], index into `world.CLASSES`.
        keypoints: float32 [people, 17, 3].
        normals: uint8 [H, W, 3], see `world.Scene`; only for their own control.
        instances: uint8 [H, W], 0 = background; only for scribbles.
    """

    image: Picture
    depth: NDArray[np.generic]
    segmentation: Picture
    keypoints: NDArray[np.float32]
    normals: Picture | None = None
    instances: Picture | None = None


@dataclass(frozen=True)
class Control:
    """A kind of control: what its picture shows, in words, and how it is drawn."""

    what: str
    draw: Callable[[Truth], Picture]


def _grey(pixels: Picture) -> Picture:
    return np.repeat(pixels[:, :, None], 3, axis=2)


def _depth(truth: Truth) -> Picture:
    """Stretch over the whole range."""
    inverse = truth.depth.astype(np.float32)
    inverse -= inverse.min()
    return _grey((inverse * (255 / max(float(inverse.max()), 1e-6))).round().astype(np.uint8))


def _scribble(truth: Truth) -> Picture:
    """Draw the outlines of all things as an unsteady hand would; equal scenes give equal drawings."""
    rng = np.random.default_rng(truth.image[::16, ::16].ravel())
    drawing = np.zeros(truth.instances.shape, np.uint8)
    for instance in np.unique(truth.instances[truth.instances > 0]):
        mask = (truth.instances == instance).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            points = cv2.approxPolyDP(outline, rng.uniform(0.5, SHARPEST), True).astype(np.float32)
            points += rng.normal(0, JITTER / 2, points.shape)
            thickness = int(rng.integers(STROKE[0], STROKE[1] + 1))
            fine = (points * 16).round().astype(np.int32)
            cv2.polylines(drawing, [fine], True, 255, thickness, cv2.LINE_8, shift=4)
    return _grey(drawing)


CONTROLS = {
    "segmentation": Control(
        "a map of classes in the colours of `world.PALETTE`", lambda truth: PALETTE[truth.segmentation]
    ),
    "depth": Control("inverse distance as grey, stretched over 0..255, near = bright", _depth),
    "edges": Control(
        "Canny edges (100, 200), white on black", lambda truth: _grey(cv2.Canny(truth.image, 100, 200))
    ),
    "pose": Control(
        "people as drawn by OpenPose (`components/pose.py: draw_people`)",
        lambda truth: draw_people(truth.keypoints, *truth.image.shape[:2]),
    ),
    "normals": Control(
        "surface normals, -1..1 as 0..255: red to the left, green up, blue towards the camera",
        lambda truth: truth.normals,
    ),
    "lineart": Control(
        "soft thin lines, white on black (`components/lineart.py: trace_lines`)",
        lambda truth: _grey(trace_lines(truth.image)),
    ),
    "scribble": Control(
        f"outlines as a hand draws them, white strokes of {STROKE[0]} to {STROKE[1]} px on black", _scribble
    ),
}
"""Every kind of control that a ControlNet is trained for."""
