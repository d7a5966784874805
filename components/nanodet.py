"""Boxes of people and things (NanoDet)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.onnx_model import OnnxModel

PERSON = 0.5  # least score of a person; what is none reached .45 on the photographs of `photo/truth.yaml`
OVERLAP = 0.6  # boxes of one class that share more are one thing
GREY = (114, 114, 114)  # beside the picture, where it is no square


@dataclass(frozen=True)
class Found:
    """A thing in a picture.

    Attributes:
        label: its class, of COCO's 80.
        score: 0..1.
        box: left, top, right and bottom, px.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]

    @property
    def area(self) -> float:
        """Of the box, px²."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


class Detector:
    """Finds things of COCO's 80 classes.

    Source: RangiLyu 2021, NanoDet; Li et al. 2020, Generalized Focal Loss (a side of a box is the mean
    of a distribution over distances).
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Opens the network in `folder`."""
        self._model = OnnxModel(folder, device)
        config = self._model.config
        self._side: int = config["image_size"]
        self._mean, self._std = (np.array(config[name]) for name in ("image_mean", "image_std"))
        self._labels = list(config["id2label"].values())
        self._strides: list[int] = config["strides"]

    def find(self, picture: Any, threshold: float) -> list[Found]:
        """Returns what is surer than `threshold` (0..1), surest first.

        Args:
            picture: a Pillow image in RGB, of any size.
        """
        import cv2

        pixels, scale = self._prepare(picture)
        boxes, scores = self._boxes(self._model(pixels), threshold)
        boxes = (boxes / scale).clip(0, [picture.width, picture.height] * 2)
        found = []
        for label in np.unique(scores.argmax(1)):
            mine = scores.argmax(1) == label
            sides = np.concatenate([boxes[mine, :2], boxes[mine, 2:] - boxes[mine, :2]], 1)
            sure = scores[mine, label]
            for kept in cv2.dnn.NMSBoxes(sides.tolist(), sure.tolist(), threshold, OVERLAP):
                found.append(Found(self._labels[label], float(sure[kept]), tuple(boxes[mine][kept].tolist())))
        return sorted(found, key=lambda one: -one.score)

    def _prepare(self, picture: Any) -> tuple[NDArray[np.float32], float]:
        """Returns the network's input, and by how much the picture was scaled for it."""
        from PIL import Image

        scale = self._side / max(picture.size)
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        canvas = Image.new("RGB", (self._side, self._side), GREY)
        canvas.paste(picture.resize(size, Image.Resampling.BILINEAR))
        pixels = (np.asarray(canvas)[..., ::-1] - self._mean) / self._std
        return pixels.transpose(2, 0, 1)[None].astype(np.float32), scale

    def _boxes(
        self, outputs: list[NDArray[np.float32]], threshold: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns boxes [n, 4] (left, top, right, bottom) and their classes' scores [n, classes]."""
        boxes, scores = [], []
        for stride in self._strides:
            across = self._side // stride
            probabilities, sides = sorted(
                (output[0] for output in outputs if output.shape[1] == across**2),
                key=lambda output: -output.shape[1],
            )
            sure = probabilities.max(1) > threshold
            powers = np.exp(sides.reshape(len(sides), 4, -1)[sure])
            distances = stride * (powers @ np.arange(powers.shape[2]) / powers.sum(2))
            cells = np.flatnonzero(sure)
            centres = (np.stack([cells % across, cells // across], 1) + 0.5) * stride
            boxes.append(np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], 1))
            scores.append(probabilities[sure])
        return np.concatenate(boxes), np.concatenate(scores)
