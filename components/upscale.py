"""Super-resolution (Swin2SR)."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from components.pretrained import pretrained
from imagegraph.component import Component, Progress, Weights
from imagegraph.errors import InvalidInput
from imagegraph.image import Image


class Upscaled(TypedDict):
    """pictures: each larger by the model's factor, in the order they came."""

    pictures: list[Image]


class Upscale(Component):
    """Enlarges pictures and sharpens them.

    Source: Conde et al. 2022, Swin2SR.
    """

    def __init__(self, max_side: int) -> None:
        """Larger pictures than `max_side` px are refused: time and memory grow with the area."""
        self._max_side = max_side

    def load(self, weights: Weights) -> None:
        """Loads a super-resolution model and its processor."""
        from transformers import AutoImageProcessor, Swin2SRForImageSuperResolution

        self._processor = AutoImageProcessor.from_pretrained(weights["model"])
        self._model = pretrained(Swin2SRForImageSuperResolution, weights)

    def predict(
        self, progress: Progress, pictures: list[Image] | None = None, image: Image | None = None
    ) -> Upscaled:
        """Enlarges `pictures` or, where there are none, `image`."""
        if pictures is None:
            if image is None:
                raise InvalidInput("pictures", "pictures, or an image", "neither")
            pictures = [image]
        enlarged = []
        for index, picture in enumerate(pictures):
            progress(index, len(pictures))
            enlarged.append(self._enlarge(picture))
        return {"pictures": enlarged}

    def _enlarge(self, image: Image) -> Image:
        import torch

        picture = image.rgb()
        if max(picture.size) > self._max_side:
            raise InvalidInput("image", f"sides of at most {self._max_side} px", picture.size)
        inputs = self._processor(picture, return_tensors="pt").to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            answer = self._model(**inputs).reconstruction[0]
        scale = self._model.config.upscale
        # The processor pads to whole windows on the right and below.
        answer = answer[:, : picture.height * scale, : picture.width * scale]
        pixels = answer.float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()
        return Image.from_array(np.round(pixels * 255).astype(np.uint8))
