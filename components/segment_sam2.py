"""Masks by Segment Anything 2.1: its pictures have three levels, and are stretched to a square."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.embed_picture import Embedded, EmbedPicture
from components.pretrained import pretrained
from components.segment import Segment
from imagegraph.component import Weights
from imagegraph.errors import InvalidInput
from imagegraph.image import Image


class EmbedPicture2(EmbedPicture):
    """Embeds a picture once, so that each prompt for it costs the small mask decoder alone.

    Source: Ravi et al. 2024, SAM 2.
    """

    def load(self, weights: Weights) -> None:
        """Loads SAM 2 and its processor of pictures."""
        from transformers import AutoImageProcessor, Sam2Model

        self._processor = AutoImageProcessor.from_pretrained(weights["model"])
        self._model = pretrained(Sam2Model, weights)

    def predict(self, image: Image) -> Embedded:
        """Answers the embedding of a picture, its finest level first."""
        import torch

        pixels = self._processor(image.rgb(), return_tensors="pt")["pixel_values"]
        pixels = pixels.to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            levels = self._model.get_image_embeddings(pixels)
        flat: NDArray[np.float16] = torch.cat([one.flatten() for one in levels]).half().cpu().numpy()
        return {"picture_embedding": flat}


class Segment2(Segment):
    """Cuts out what prompts mean: points, boxes or both, an object each; without prompts, everything.

    Source: Ravi et al. 2024, SAM 2.
    """

    def load(self, weights: Weights) -> None:
        """Loads SAM 2 and its processor of pictures."""
        from transformers import AutoImageProcessor, Sam2Model

        self._encoder = EmbedPicture2()
        self._encoder.load(weights)
        self._processor = AutoImageProcessor.from_pretrained(weights["model"])
        self._model = pretrained(Sam2Model, weights)

    def _embedding(self, numbers: NDArray[np.float16]) -> Any:
        """Returns the levels as the decoder takes them, each [1, channels, h, w]."""
        import torch

        width = self._model.hidden_dim
        channels = (width // 8, width // 4, width)
        shapes = [
            (1, own, *size) for own, size in zip(channels, self._model.backbone_feature_sizes, strict=True)
        ]
        sizes = [math.prod(shape) for shape in shapes]
        if numbers.size != sum(sizes):
            expected = f"the {sum(sizes)} numbers of `embed-picture` of the same bundle"
            raise InvalidInput("picture_embedding", expected, numbers.size)
        flat = torch.from_numpy(numbers.astype(np.float32)).to(self._model.device, self._model.dtype)
        return [one.view(shape) for one, shape in zip(flat.split(sizes), shapes, strict=True)]

    def _seen(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns width and height of a picture as the encoder sees it: always the same."""
        return self._processor.size["width"], self._processor.size["height"]

    def _enlarged(self, logits: Any, size: tuple[int, int]) -> Any:
        """Returns logits [h, w] of what the encoder saw, at the size of the picture."""
        (enlarged,) = self._processor.post_process_masks([logits[None, None]], [size[::-1]], binarize=False)
        return enlarged[0, 0]
