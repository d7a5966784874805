"""CLIP: pictures and texts as vectors of one space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.pretrained import pretrained
from imagegraph.component import Weights

Vectors = NDArray[np.float32]


class Clip:
    """Embeds pictures and texts.

    Source: Radford et al. 2021, CLIP.
    """

    def __init__(self, weights: Weights, role: str = "model") -> None:
        """Loads a CLIP model and its processor."""
        from transformers import AutoProcessor, CLIPModel

        self._processor = AutoProcessor.from_pretrained(weights[role])
        self._model = pretrained(CLIPModel, weights, role)

    @property
    def scale(self) -> float:
        """What cosine similarities are multiplied by before a softmax: the model's own temperature."""
        return math.exp(self._model.logit_scale.item())

    def embed_pictures(self, pictures: Sequence[Any]) -> Vectors:
        """Returns unit vectors [pictures, width] of Pillow pictures in RGB."""
        import torch

        inputs = self._processor(images=list(pictures), return_tensors="pt")
        with torch.inference_mode():
            answer = self._model.get_image_features(**inputs.to(self._model.device, self._model.dtype))
        return _unit(answer.pooler_output)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Returns unit vectors [texts, width]; what CLIP cannot read at once is cut off."""
        import torch

        inputs = self._processor(text=list(texts), return_tensors="pt", padding=True, truncation=True)
        with torch.inference_mode():
            answer = self._model.get_text_features(**inputs.to(self._model.device))
        return _unit(answer.pooler_output)


def _unit(vectors: Any) -> Vectors:
    unit: Vectors = (vectors / vectors.norm(dim=-1, keepdim=True)).float().cpu().numpy()
    return unit
