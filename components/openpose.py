"""Bodies as OpenPose draws them, which is what pose ControlNets know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Point = tuple[float, float] | None

THICKNESS = 4  # px, half of a stick's; the radius of a point
_STICKS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10)),
    *((1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
_COLOURS = (
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0)),
    *((0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255)),
    *((0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
)


def draw_body(canvas: Any, points: Sequence[Point]) -> None:
    """Draw a person over what is there.

    Args:
        canvas: uint8 [height, width, 3], RGB.
        points: x and y of OpenPose's 18 points as parts of width and height, 0..1; None is not seen.

    Source: controlnet_aux.open_pose.util.draw_bodypose, without the imports of its detectors.
    """
    import cv2

    height, width = canvas.shape[:2]
    scaled = [point and (point[0] * width, point[1] * height) for point in points]
    for (start, end), colour in zip(_STICKS, _COLOURS, strict=False):
        if (one := scaled[start]) and (other := scaled[end]):
            across, down = one[0] - other[0], one[1] - other[1]
            middle = int((one[0] + other[0]) / 2), int((one[1] + other[1]) / 2)
            half = int((down**2 + across**2) ** 0.5 / 2)
            angle = int(math.degrees(math.atan2(down, across)))
            outline = cv2.ellipse2Poly(middle, (half, THICKNESS), angle, 0, 360, 1)
            cv2.fillConvexPoly(canvas, outline, [int(part * 0.6) for part in colour])
    for point, colour in zip(scaled, _COLOURS, strict=True):
        if point:
            cv2.circle(canvas, (int(point[0]), int(point[1])), THICKNESS, colour, thickness=-1)
