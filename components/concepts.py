"""What a picture and parts of it show, of texts that the request names (CLIP, zero-shot)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.clip import Clip
from components.regions import MOST_REGIONS, Boxes, box_of, check_boxes, cut_out, read_masks, whole_box
from imagegraph.component import Component, Progress, Weights
from imagegraph.errors import InvalidDocument
from imagegraph.image import Image
from imagegraph.ports import Array

BATCH = 32  # pictures that CLIP reads at once
Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]
Numbers = NDArray[np.float32]


class Named(TypedDict):
    """concepts: the likeliest text, of the picture and then of each of its parts.

    confidence_scores: [1 + parts, texts], how likely each text is for each of them; a row sums to 1.
    part_concepts, part_confidences: where there are parts, the likeliest text of each and how likely it is.
    """

    concepts: list[str]
    confidence_scores: Annotated[Numbers, Array("float32", (-1, -1))]
    part_concepts: NotRequired[list[str]]
    part_confidences: NotRequired[list[float]]


class Concepts(Component):
    """Says which of several texts fits a picture best, and each part of it that is masked or boxed.

    Source: Radford et al. 2021, CLIP, section 3.1 (zero-shot, with a template around the text).
    """

    def __init__(self, template: str, margin: float, backdrop: tuple[int, int, int]) -> None:
        """Takes what CLIP reads of a text, and how parts are cut out.

        Args:
            template: with `{}` where the text is to stand.
            margin: around a part, in parts of its longer side.
            backdrop: RGB of what is in the margin and in no mask.

        Raises:
            InvalidDocument: the template does not have `{}` just once.
        """
        if template.count("{}") != 1:
            raise InvalidDocument(f"template: expected a text with {{}} once, got {template!r}")
        self._template = template
        self._margin = margin
        red, green, blue = backdrop
        self._backdrop = red, green, blue

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Mapping[str, bool], roles: Set[str]) -> None:
        """Refuses boxes outside the picture before any node has run."""
        image, boxes = known.get("image"), known.get("boxes")
        if image is not None and boxes is not None:
            check_boxes(boxes, image.size)

    def load(self, weights: Weights) -> None:
        """Loads a CLIP model and its processor."""
        self._clip = Clip(weights)

    def predict(
        self,
        progress: Progress,
        image: Image,
        texts: Annotated[
            list[Text], Field(min_length=1, max_length=256, description="What it may show, in words")
        ],
        masks: Annotated[
            list[Image] | None, Field(max_length=MOST_REGIONS, description="Parts of it, bright = part")
        ] = None,
        boxes: Annotated[
            Boxes | None,
            Field(description="Parts of it where there are no masks: left, top, right, bottom in px"),
        ] = None,
    ) -> Named:
        """Scores the texts for the picture, then for each part: of the masks, or else of the boxes.

        In an empty mask there is nothing, so that all texts are equally likely.

        Raises:
            InvalidInput: a box or a mask is none of this picture.
        """
        named = self._clip.embed_texts([self._template.replace("{}", text) for text in texts])
        parts = [*self._parts(image, masks, boxes)]
        scores = np.full((len(parts), len(texts)), 1 / len(texts), np.float32)
        shown = [index for index, part in enumerate(parts) if part is not None]
        for start in range(0, len(shown), BATCH):
            progress(start, len(shown))
            rows = shown[start : start + BATCH]
            seen = self._clip.embed_pictures([parts[row] for row in rows])
            logits = np.float32(self._clip.scale) * (seen @ named.T)
            scores[rows] = _softmax(logits)
        concepts = [texts[best] for best in scores.argmax(axis=1)]
        answer: Named = {"concepts": concepts, "confidence_scores": scores}
        if len(parts) > 1:
            answer["part_concepts"] = concepts[1:]
            answer["part_confidences"] = scores[1:].max(axis=1).tolist()
        return answer

    def _parts(self, image: Image, masks: Sequence[Image] | None, boxes: Any) -> Iterator[Any]:
        """Yields the picture, then its parts as Pillow pictures; None for an empty one."""
        picture = image.rgb()
        yield picture
        if masks is not None:
            for mask in read_masks(masks, picture.size):
                box = box_of(mask)
                yield box and cut_out(picture, box, mask, self._margin, self._backdrop)
        elif boxes is not None:
            check_boxes(boxes, picture.size)
            for one in boxes.tolist():
                yield cut_out(picture, whole_box(one), None, self._margin, self._backdrop)


def _softmax(logits: Numbers) -> Numbers:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Numbers = powers / powers.sum(axis=1, keepdims=True)
    return shares
