"""Poses of people by a single-person network, one box at a time (NanoDet and MoveNet)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from components.cutout import readable
from components.nanodet import PERSON, Detector, Found
from components.onnx_model import OnnxModel
from components.pose import PosePrior, PoseReader, draw_people
from imagegraph.component import Weights
from imagegraph.image import Image, working_size

MARGIN = 1.1  # of the square that the network looks at, to the longer side of the person's box


class KeyPoints:
    """Finds the key points of a person who was found.

    MoveNet sees a person in everything, so it is to be shown only what the detector takes for one.

    Source: Google 2021, MoveNet SinglePose Thunder.
    """

    def __init__(self, weights: Weights) -> None:
        """Opens the network of the role "pose"."""
        self._model = OnnxModel(weights["pose"], weights.device)

    def find(self, picture: Any, person: Found) -> NDArray[np.float32]:
        """Returns [17, 3], in COCO's order: x and y in px of a Pillow image, confidence 0..1."""
        left, top, right, bottom = person.box
        side = max(right - left, bottom - top) * MARGIN
        x, y = (left + right - side) / 2, (top + bottom - side) / 2
        # Pillow fills what lies beside the picture with black.
        square = picture.transform(
            (self._model.config["image_size"],) * 2,
            PillowImage.Transform.EXTENT,
            (x, y, x + side, y + side),
            PillowImage.Resampling.BILINEAR,
        )
        (answer,) = self._model(np.asarray(square, np.int32)[None])
        rows, columns, confidence = answer[0, 0].T
        return np.stack([x + columns * side, y + rows * side, confidence], axis=1)


class MoveNetPose(PoseReader):
    """Finds people and the 17 COCO key points of each."""

    roles = ("detector", "pose")

    def __init__(self, size: int, threshold: float = PERSON) -> None:
        """Takes the generator's shorter side in px and the least score of a person, 0..1."""
        self._size = size
        self._threshold = threshold

    def load(self, weights: Weights) -> None:
        """Opens a detector and a single-person pose network."""
        import cv2  # noqa: F401  (draw_people's; slow to import)

        self._detector = Detector(weights["detector"], weights.device)
        self._keypoints = KeyPoints(weights)

    def predict(self, image: Image) -> PosePrior:
        """Answers the poses of all people; without people a black drawing and no key points."""
        picture = readable(image)
        width, height = working_size(*picture.size, self._size)
        found = self._detector.find(picture, self._threshold)
        people = [one for one in found if one.label == "person"]
        scale = np.array((width / picture.width, height / picture.height, 1), np.float32)
        keypoints = np.zeros((len(people), 17, 3), np.float32)
        for index, person in enumerate(people):
            keypoints[index] = self._keypoints.find(picture, person) * scale
        return {"pose": Image.from_array(draw_people(keypoints, height, width)), "keypoints": keypoints}
