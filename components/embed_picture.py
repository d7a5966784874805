"""A picture as Segment Anything sees it, for any number of prompts (SAM's vision encoder)."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from components.pretrained import pretrained
from imagegraph.component import Component, Weights
from imagegraph.image import Image
from imagegraph.ports import Array

Embedding = Annotated[NDArray[np.float16], Array("float16", (-1,))]


class Embedded(TypedDict):
    """picture_embedding: the numbers of all its levels in their order, flat."""

    picture_embedding: Embedding


class EmbedPicture(Component):
    """Embeds a picture once, so that each prompt for it costs the small mask decoder alone.

    Source: Kirillov et al. 2023, Segment Anything.
    """

    def load(self, weights: Weights) -> None:
        """Loads SAM and its processor."""
        from transformers import AutoProcessor, SamModel

        self._processor = AutoProcessor.from_pretrained(weights["model"])
        self._model = pretrained(SamModel, weights)

    def predict(self, image: Image) -> Embedded:
        """Answers the embedding of a picture."""
        import torch

        pixels = self._processor(image.rgb(), return_tensors="pt")["pixel_values"]
        pixels = pixels.to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            embedded: Any = self._model.vision_encoder(pixels).last_hidden_state
        return {"picture_embedding": embedded.flatten().half().cpu().numpy()}
