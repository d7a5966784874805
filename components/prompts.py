"""Prompts, read by the text encoders of Stable Diffusion 1, 2 and XL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from components.denoise import Conditioning


class PromptReader:
    """The text encoders of a pipeline; SDXL has two, side by side.

    A prompt longer than an encoder reads at once (CLIP: 75 tokens and two marks) is read in pieces,
    joined along the tokens.
    """

    def __init__(self, pipeline: Any, device: str) -> None:
        """Takes the tokenizers and text encoders of a `DiffusionPipeline`."""
        self._device = device
        self._tokenizers = [pipeline.tokenizer, *filter(None, [getattr(pipeline, "tokenizer_2", None)])]
        encoders = [pipeline.text_encoder, *filter(None, [getattr(pipeline, "text_encoder_2", None)])]
        self._encoders = [encoder.to(device).eval() for encoder in encoders]

    @property
    def encoders(self) -> dict[str, Any]:
        """The text encoders by the names that pipelines have for them."""
        return dict(zip(("text_encoder", "text_encoder_2"), self._encoders, strict=False))

    def pieces(self, texts: Sequence[str]) -> int:
        """Returns how often the encoders have to read until the end of the longest text."""
        return len(_pieces(self._tokenizers[0], texts))

    def encode(self, texts: Sequence[str], size: tuple[int, int], dtype: torch.dtype) -> Conditioning:
        """Encodes texts, a row each, equally long.

        Args:
            size: width and height in px that the pictures are to have; SDXL is told.
            dtype: of the answer.
        """
        embeddings, pooled = [], None
        single = len(self._tokenizers) == 1
        for tokenizer, encoder in zip(self._tokenizers, self._encoders, strict=True):
            pieces = [
                encoder(ids.to(self._device), output_hidden_states=True) for ids in _pieces(tokenizer, texts)
            ]
            hidden = [piece[0] if single else piece.hidden_states[-2] for piece in pieces]
            embeddings.append(torch.cat(hidden, dim=1))
            pooled = pieces[0][0]
        encoded = torch.cat(embeddings, dim=-1).to(dtype)
        if single:
            return Conditioning(encoded)
        # SDXL: the last encoder's summary, and the size and crop that the picture is to look like.
        width, height = size
        sizes = torch.tensor([[height, width, 0, 0, height, width]] * len(texts))
        return Conditioning(encoded, {"text_embeds": pooled, "time_ids": sizes.to(encoded)})


def _pieces(tokenizer: Any, texts: Sequence[str]) -> list[torch.Tensor]:
    """Cuts token ids into pieces that an encoder reads at once, each [texts, model_max_length]."""
    room = tokenizer.model_max_length - 2
    tokens = [tokenizer(text, add_special_tokens=False, verbose=False).input_ids for text in texts]
    pieces = []
    for start in range(0, max(1, *map(len, tokens)), room):
        marked = [
            [tokenizer.bos_token_id, *one[start : start + room], tokenizer.eos_token_id] for one in tokens
        ]
        padded = [one + [tokenizer.pad_token_id] * (room + 2 - len(one)) for one in marked]
        pieces.append(torch.tensor(padded))
    return pieces
