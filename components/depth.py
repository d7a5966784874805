"""Depth from one picture (Depth Anything and other relative-depth models)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np

from components.fidelity import depth_fidelity, stretched
from components.pretrained import pretrained
from imagegraph.component import Reader, Weights
from imagegraph.image import Image, working_size


class DepthPrior(TypedDict):
    """depth: 16-bit grey, 0 is the farthest and 65535 the nearest point of this picture."""

    depth: Image


class DepthReader(Reader):
    """Answers `depth`, whatever it makes of the picture."""

    def fidelity(self, control: Mapping[str, Any], again: Mapping[str, Any]) -> float:
        """Returns the correlation of the depths."""
        seen = again["depth"].map()
        return depth_fidelity(stretched(control["depth"], again["depth"].size), seen)


class Depth(DepthReader):
    """Estimates relative inverse distance.

    Source: Yang et al. 2024, Depth Anything V2.
    """

    def __init__(self, size: int) -> None:
        """Maps are answered with a shorter side of about `size` px, that of the generator."""
        self._size = size

    def load(self, weights: Weights) -> None:
        """Loads a model for depth estimation and its processor."""
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        self._processor = AutoImageProcessor.from_pretrained(weights["model"])
        self._model = pretrained(AutoModelForDepthEstimation, weights)

    def predict(self, image: Image) -> DepthPrior:
        """Answers the depth map of a picture."""
        import torch

        picture = image.rgb()
        width, height = working_size(*picture.size, self._size)
        inputs = self._processor(picture, return_tensors="pt").to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            answer = self._model(**inputs)
        answer = self._processor.post_process_depth_estimation(answer, target_sizes=[(height, width)])
        depth = answer[0]["predicted_depth"].float().cpu().numpy()
        # The scale of relative depth means nothing; ControlNets expect the full range.
        unit = (depth - depth.min()) / (np.ptp(depth) or 1)
        return {"depth": Image.from_array(np.round(unit * 65535).astype(np.uint16))}
