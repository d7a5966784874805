"""Poses of people: detect them, find their key points, draw them for a ControlNet."""

import numpy as np
from numpy.typing import NDArray

# Where OpenPose's 18 points are among COCO's 17 (None: the neck, which COCO does not have).
_OPENPOSE = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_SHOULDERS = (5, 6)


def draw_people(
    keypoints: NDArray[np.floating], height: int, width: int, threshold: float = 0.3
) -> NDArray[np.uint8]:
    """Draw people the way OpenPose does, which is what pose ControlNets are trained on.

    Args:
        keypoints: [people, 17, 3], COCO order: x and y in px of the picture, confidence 0..1.
        height: of the picture, in px.
        width: of the picture, in px.
        threshold: key points of less confidence are left out.

    Returns:
        uint8 [height, width, 3] RGB on black. Drawn at a short side of 512 px, for which the
        widths of OpenPose's sticks are meant, and then reduced or enlarged.

    Source: controlnet_aux.open_pose.util.draw_bodypose.
    """
    import cv2
    from controlnet_aux.open_pose.body import Keypoint
    from controlnet_aux.open_pose.util import draw_bodypose

    scale = 512 / min(height, width)
    canvas = np.zeros((round(height * scale), round(width * scale), 3), np.uint8)
    for person in keypoints:
        points = [
            Keypoint((x + 0.5) / width, (y + 0.5) / height) if confidence >= threshold else None
            for x, y, confidence in person.tolist()
        ]
        left, right = (points[i] for i in _SHOULDERS)
        neck = Keypoint((left.x + right.x) / 2, (left.y + right.y) / 2) if left and right else None
        draw_bodypose(canvas, [neck if i is None else points[i] for i in _OPENPOSE])
    enlarge = cv2.INTER_CUBIC if scale < 1 else cv2.INTER_AREA
    return cv2.resize(canvas, (width, height), interpolation=enlarge)
