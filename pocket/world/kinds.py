"""What the world is made of: its names, colours and measures."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SIZE = 128
FOCAL = 150.0  # px; a field of view of 46 degrees
NEAR, FAR = 2.5, 10.0  # the fixed range that depth is normalised over

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (205, 32, 38),
    "orange": (245, 125, 20),
    "yellow": (245, 215, 40),
    "green": (38, 150, 50),
    "cyan": (30, 195, 205),
    "blue": (35, 70, 205),
    "purple": (125, 45, 175),
    "pink": (240, 100, 175),
}
SHAPES = ("sphere", "cube", "cone", "cylinder", "person")
CLASSES = ("wall", "floor", *SHAPES)
PALETTE = np.array(
    [
        (120, 120, 120), (80, 50, 50), (255, 210, 0), (0, 90, 255),
        (0, 200, 80), (255, 110, 30), (150, 5, 61),
    ],
    dtype=np.uint8,
)  # fmt: skip
SPLITS = ("train", "validation", "seen", "unseen")
UNSEEN = frozenset(
    {
        ("orange", "sphere"), ("cyan", "cube"), ("purple", "cone"), ("green", "cylinder"),
        ("blue", "cone"), ("pink", "cube"), ("yellow", "person"),
    }
)  # fmt: skip
"""Pairs (colour, shape) that only the split "unseen" shows, at least one in each scene."""

KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
