"""Whether pictures are in the styles that they were drawn in, by questions about them (BLIP)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.pretrained import pretrained
from components.styles import MOST_STYLES, Question, StyleName
from imagegraph.component import Component, Progress, Weights
from imagegraph.errors import InvalidInput
from imagegraph.image import Image

BATCH = 32  # pictures that BLIP reads at once
YES, NO = "yes", "no"

Numbers = NDArray[np.float32]


class Scored(TypedDict):
    """order: indices of the pictures, the likeliest yes first; the others are in the order of the pictures.

    style_answers: 1 is yes, 0 is no; style_confidences: how likely yes is, against no.
    in_style: the style that each picture was asked about, where styles are named.
    """

    order: list[int]
    style_answers: list[int]
    style_confidences: list[float]
    in_style: NotRequired[list[str]]


class StyleScore(Component):
    """Asks of each picture whether it is in its style, and orders pictures by how likely that is.

    Source: Li et al. 2022, BLIP, section 5.4 (visual question answering).
    """

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Mapping[str, bool], roles: Set[str]) -> None:
        """Refuses questions that no pictures fit."""
        if not {"pictures", "questions", "style_names"} & coming.keys():
            _share(len(known["pictures"]), known["questions"], known.get("style_names"))

    def load(self, weights: Weights) -> None:
        """Loads a model that answers questions, and its processor."""
        from transformers import BlipForQuestionAnswering, BlipProcessor

        self._processor = BlipProcessor.from_pretrained(weights["model"])
        self._model = pretrained(BlipForQuestionAnswering, weights)
        self._answers = [self._token(answer) for answer in (NO, YES)]

    def _token(self, word: str) -> int:
        (token,) = self._processor.tokenizer(word, add_special_tokens=False).input_ids
        return int(token)

    def predict(
        self,
        progress: Progress,
        pictures: Annotated[list[Image], Field(min_length=1)],
        questions: Annotated[
            list[Question],
            Field(
                min_length=1,
                max_length=MOST_STYLES,
                description="To be answered by yes or no: one a picture, or one for several in a row",
            ),
        ],
        style_names: Annotated[
            list[StyleName] | None, Field(description="What each question is about, in a word")
        ] = None,
    ) -> Scored:
        """Answers the question about each picture, and orders them.

        Args:
            questions: what is longer than the model reads is cut off.

        Raises:
            InvalidInput: the pictures cannot be shared out evenly among the questions.
        """
        share = _share(len(pictures), questions, style_names)
        asked = [question for question in questions for _ in range(share)]
        yes = np.empty(len(pictures), np.float32)
        for start in range(0, len(pictures), BATCH):
            progress(start, len(pictures))
            rows = slice(start, start + BATCH)
            yes[rows] = self._chances([one.rgb() for one in pictures[rows]], asked[rows])
        scored: Scored = {
            "order": np.argsort(-yes, kind="stable").tolist(),
            "style_answers": (yes > 0.5).astype(int).tolist(),
            "style_confidences": yes.tolist(),
        }
        if style_names is not None:
            scored["in_style"] = [name for name in style_names for _ in range(share)]
        return scored

    def _chances(self, pictures: Sequence[Any], questions: Sequence[str]) -> Numbers:
        """Returns the probability of yes against no [pictures], as the first word of the answer.

        Questions of one length are read together: BLIP's decoder listens to padding.
        """
        import torch

        device, dtype = self._model.device, self._model.dtype
        pixels = self._processor.image_processor(list(pictures), return_tensors="pt").pixel_values
        tokens = self._processor.tokenizer(list(questions), truncation=True).input_ids
        yes = np.empty(len(pictures), np.float32)
        with torch.inference_mode():
            seen = self._model.vision_model(pixel_values=pixels.to(device, dtype)).last_hidden_state
            for length in {len(one) for one in tokens}:
                rows = [row for row, one in enumerate(tokens) if len(one) == length]
                ids = torch.tensor([tokens[row] for row in rows], device=device)
                understood = self._model.text_encoder(
                    input_ids=ids,
                    encoder_hidden_states=seen[rows],
                    encoder_attention_mask=torch.ones(seen[rows].shape[:2], dtype=torch.long, device=device),
                ).last_hidden_state
                begin = torch.full((len(rows), 1), self._model.decoder_start_token_id, device=device)
                logits = self._model.text_decoder(input_ids=begin, encoder_hidden_states=understood).logits
                pair = logits[:, -1, self._answers].float().softmax(dim=-1)
                yes[rows] = pair[:, 1].cpu().numpy()
        return yes


def _share(pictures: int, questions: Sequence[str], names: Sequence[str] | None) -> int:
    """Returns how many pictures in a row each question is about."""
    if pictures % len(questions):
        expected = f"one a picture, or a number that divides {pictures}"
        raise InvalidInput("questions", expected, f"{len(questions)} of them")
    if names is not None and len(names) != len(questions):
        raise InvalidInput("style_names", f"{len(questions)} names, one a question", names)
    return pictures // len(questions)
