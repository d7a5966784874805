"""Poses of people: detect them, find their key points, draw them for a ControlNet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from components.fidelity import pose_fidelity
from components.openpose import draw_body
from components.pretrained import pretrained
from imagegraph.component import Reader, Weights
from imagegraph.image import Image, working_size
from imagegraph.ports import Array

Keypoints = Annotated[NDArray[np.float32], Array("float32", (-1, 17, 3))]

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

    """
    import cv2

    scale = 512 / min(height, width)
    canvas = np.zeros((round(height * scale), round(width * scale), 3), np.uint8)
    for person in keypoints:
        points = [
            ((x + 0.5) / width, (y + 0.5) / height) if confidence >= threshold else None
            for x, y, confidence in person.tolist()
        ]
        left, right = (points[i] for i in _SHOULDERS)
        neck = ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2) if left and right else None
        draw_body(canvas, [neck if i is None else points[i] for i in _OPENPOSE])
    enlarge = cv2.INTER_CUBIC if scale < 1 else cv2.INTER_AREA
    drawing: NDArray[np.uint8] = cv2.resize(canvas, (width, height), interpolation=enlarge)
    return drawing


class PosePrior(TypedDict):
    """pose: OpenPose drawing; keypoints: [people, 17, 3], px of that drawing and confidence 0..1."""

    pose: Image
    keypoints: Keypoints


class PoseReader(Reader):
    """Answers `pose` and `keypoints`, whatever it finds people by."""

    def fidelity(self, control: Mapping[str, Any], again: Mapping[str, Any]) -> float:
        """Returns the part of the key points that are found again; a drawing alone has none."""
        people = control.get("keypoints", np.zeros((0, 17, 3), np.float32))
        scale = (*np.divide(again["pose"].size, control["pose"].size), 1)
        return pose_fidelity(people * scale, again["keypoints"])


class Pose(PoseReader):
    """Finds people and the 17 COCO key points of each.

    Source: Zhao et al. 2023, RT-DETR; Xu et al. 2022, ViTPose.
    """

    roles = ("detector", "pose")

    def __init__(self, size: int, threshold: float = 0.5) -> None:
        """Takes the generator's shorter side in px and the least confidence of a person, 0..1."""
        self._size = size
        self._threshold = threshold

    def load(self, weights: Weights) -> None:
        """Loads a detector with a class "person" and a model for key points in its boxes."""
        import cv2  # noqa: F401  (draw_people's; slow to import)
        from transformers import AutoImageProcessor, AutoModelForObjectDetection, VitPoseForPoseEstimation

        self._detector_processor = AutoImageProcessor.from_pretrained(weights["detector"])
        self._detector = pretrained(AutoModelForObjectDetection, weights, "detector")
        self._pose_processor = AutoImageProcessor.from_pretrained(weights["pose"])
        self._pose = pretrained(VitPoseForPoseEstimation, weights, "pose")

    def predict(self, image: Image) -> PosePrior:
        """Answers the poses of all people; without people a black drawing and no key points."""
        picture = image.rgb()
        width, height = working_size(*picture.size, self._size)
        keypoints = self._keypoints(picture, self._boxes(picture))
        keypoints[..., 0] *= width / picture.width
        keypoints[..., 1] *= height / picture.height
        return {"pose": Image.from_array(draw_people(keypoints, height, width)), "keypoints": keypoints}

    def _boxes(self, picture: Any) -> NDArray[np.float32]:
        """Returns [people, 4]: left, top, width and height in px."""
        import torch

        inputs = self._detector_processor(picture, return_tensors="pt")
        with torch.inference_mode():
            answer = self._detector(**inputs.to(self._detector.device, self._detector.dtype))
        (found,) = self._detector_processor.post_process_object_detection(
            answer, threshold=self._threshold, target_sizes=[(picture.height, picture.width)]
        )
        names = [self._detector.config.id2label[label] for label in found["labels"].tolist()]
        people = np.array([name == "person" for name in names], bool)
        boxes = found["boxes"].float().cpu().numpy()[people]
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)

    def _keypoints(self, picture: Any, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        if not len(boxes):
            return np.zeros((0, 17, 3), np.float32)
        inputs = self._pose_processor(picture, boxes=[boxes], return_tensors="pt")
        with torch.inference_mode():
            answer = self._pose(**inputs.to(self._pose.device, self._pose.dtype))
        (people,) = self._pose_processor.post_process_pose_estimation(answer, boxes=[boxes], threshold=-1)
        points = [np.column_stack([person["keypoints"], person["scores"]]) for person in people]
        return np.stack(points).astype(np.float32)
