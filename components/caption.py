"""Captions (BLIP)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from pydantic import Field

from components.fidelity import caption_fidelity
from components.pretrained import pretrained
from imagegraph.component import Reader, Weights
from imagegraph.image import Image


class CaptionPrior(TypedDict):
    """caption: one English phrase."""

    caption: str


class CaptionReader(Reader):
    """Answers `caption`, whatever it takes the words from."""

    def fidelity(self, control: Mapping[str, Any], again: Mapping[str, Any]) -> float:
        """Returns the F1 score of the words."""
        return caption_fidelity(control["caption"], again["caption"])


class Caption(CaptionReader):
    """Says what a picture shows.

    Source: Li et al. 2022, BLIP.
    """

    def load(self, weights: Weights) -> None:
        """Loads a captioning model and its processor."""
        from transformers import BlipForConditionalGeneration, BlipProcessor

        self._processor = BlipProcessor.from_pretrained(weights["model"])
        self._model = pretrained(BlipForConditionalGeneration, weights)

    def predict(
        self,
        image: Image,
        caption_tokens: Annotated[int, Field(ge=1, le=200, description="Most tokens")] = 40,
    ) -> CaptionPrior:
        """Answers the likeliest caption, by greedy search."""
        import torch

        inputs = self._processor(image.rgb(), return_tensors="pt").to(self._model.device, self._model.dtype)
        # The decoder knows so many positions, one of which begins the caption.
        room = self._model.config.text_config.max_position_embeddings - 1
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, max_new_tokens=min(caption_tokens, room), num_beams=1)
        return {"caption": self._processor.decode(tokens[0], skip_special_tokens=True).strip()}
