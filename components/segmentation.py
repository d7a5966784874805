"""Semantic segmentation (SegFormer and other per-pixel classifiers)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from PIL import Image as PillowImage

from components.fidelity import segmentation_fidelity
from components.pretrained import pretrained
from imagegraph.component import Reader, Weights
from imagegraph.image import Image, working_size


class SegmentationPrior(TypedDict):
    """segmentation: a colour a class; segments: the names of the classes seen, largest first."""

    segmentation: Image
    segments: list[str]


class SegmentationReader(Reader):
    """Answers `segmentation`, whatever its classes are."""

    def fidelity(self, control: Mapping[str, Any], again: Mapping[str, Any]) -> float:
        """Returns the mean intersection over union of the classes."""
        seen = again["segmentation"]
        wanted = control["segmentation"].map_rgb().resize(seen.size, PillowImage.Resampling.NEAREST)
        return segmentation_fidelity(np.asarray(wanted), np.asarray(seen.map_rgb()))


class Segmentation(SegmentationReader):
    """Names the class of every pixel and draws it in the colour that ControlNets know it by.

    Source: Xie et al. 2021, SegFormer.
    """

    def __init__(self, size: int) -> None:
        """Maps are answered with a shorter side of about `size` px, that of the generator."""
        self._size = size

    def load(self, weights: Weights) -> None:
        """Loads a model for semantic segmentation and its processor."""
        from controlnet_aux.util import ade_palette
        from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

        self._processor = AutoImageProcessor.from_pretrained(weights["model"])
        self._model = pretrained(AutoModelForSemanticSegmentation, weights)
        # A model that knows other classes than ADE20K's says in its config how to draw them.
        palette = getattr(self._model.config, "palette", None) or ade_palette()
        self._palette = np.array(palette, np.uint8)

    def predict(self, image: Image) -> SegmentationPrior:
        """Answers the coloured map of a picture and the names of its classes."""
        import torch

        picture = image.rgb()
        width, height = working_size(*picture.size, self._size)
        inputs = self._processor(picture, return_tensors="pt").to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            answer = self._model(**inputs)
        (classes,) = self._processor.post_process_semantic_segmentation(answer, [(height, width)])
        classes = classes.cpu().numpy()
        seen, areas = np.unique(classes, return_counts=True)
        names = [self._model.config.id2label[int(one)] for one in seen[np.argsort(-areas)]]
        return {"segmentation": Image.from_array(self._palette[classes]), "segments": names}
