"""Pictures and texts as CLIP sees them, to search by likeness."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Annotated, Any, NotRequired, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.clip import Clip
from imagegraph.component import Component, Progress, Weights
from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.ports import Array

BATCH = 32  # that CLIP reads at once
MOST = 1024
Vectors = Annotated[NDArray[np.float16], Array("float16", (-1, -1))]
Item = TypeVar("Item")
Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]


class Placed(TypedDict):
    """Unit vectors of one space, [pictures, width] and [texts, width]; a product is a likeness, -1..1."""

    picture_vectors: NotRequired[Vectors]
    text_vectors: NotRequired[Vectors]


class Likeness(Component):
    """Places pictures and texts where what is alike is near.

    Source: Radford et al. 2021, CLIP.
    """

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Mapping[str, bool], roles: Set[str]) -> None:
        """Refuses a request for nothing."""
        if not any(name in coming or known.get(name) for name in ("pictures", "texts")):
            raise InvalidInput("pictures", "pictures, or texts", "neither")

    def load(self, weights: Weights) -> None:
        """Loads a CLIP model and its processor."""
        self._clip = Clip(weights)

    def predict(
        self,
        progress: Progress,
        pictures: Annotated[list[Image] | None, Field(max_length=MOST)] = None,
        texts: Annotated[list[Text] | None, Field(max_length=MOST)] = None,
    ) -> Placed:
        """Answers a vector for each picture and for each text."""
        placed: Placed = {}
        if pictures:
            shown = ([one.rgb() for one in some] for some in _batches(progress, pictures))
            placed["picture_vectors"] = _joined(map(self._clip.embed_pictures, shown))
        if texts:
            placed["text_vectors"] = _joined(map(self._clip.embed_texts, _batches(progress, texts)))
        return placed


def _batches(progress: Progress, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), BATCH):
        progress(start, len(items))
        yield items[start : start + BATCH]


def _joined(parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float16]:
    return np.concatenate([*parts]).astype(np.float16)
