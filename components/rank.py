"""Ranking of pictures by CLIP and by how they keep to their priors."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import numpy as np
from pydantic import Field

from components.clip import Clip
from imagegraph.component import Component, Progress, Reader, Weights
from imagegraph.errors import InvalidDocument, InvalidInput
from imagegraph.image import Image
from imagegraph.ports import Prompt
from imagegraph.signature import Signature


class Ranking(TypedDict):
    """order: indices of the pictures, best first; the scores are in the order of the pictures.

    clip_prompt, clip_image: cosine similarity (-1..1) to its prompt and to the photo.
    fidelity: 0..1, how far the prior that steered a picture is found in it again.
    """

    order: list[int]
    clip_prompt: list[float]
    clip_image: NotRequired[list[float]]
    fidelity: NotRequired[list[float]]


class Rank(Component):
    """Scores pictures against the prompt, the photo and their priors, and orders them.

    Source: Radford et al. 2021, CLIP; Hessel et al. 2021, CLIPScore (unscaled here).
    """

    opens = "uses"

    def __init__(self, uses: Mapping[str, Component]) -> None:
        """Takes the components that read priors, by prior, where the graph has them.

        Raises:
            InvalidDocument: one of them reads no prior.
        """
        self._readers: dict[str, Reader] = {}
        for name, one in uses.items():
            if not isinstance(one, Reader):
                raise InvalidDocument(f"rank uses '{name}', which is a {type(one).__name__} and no Reader")
            self._readers[name] = one

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Mapping[str, bool], roles: Set[str]) -> None:
        """Refuses a `rank_by` whose score no answer to this request can have."""

        def comes(name: str) -> bool:
            return name in coming or known.get(name) is not None

        if not comes("prompt") and not comes("prompts"):
            raise InvalidInput("prompt", "a prompt, or prompts, one a picture", "neither")
        possible = ["prompt"]
        if comes("image"):
            possible.append("image")
        if comes("steered_by") and any(map(comes, roles - {*cls.roles})):
            possible.append("fidelity")
        if "rank_by" not in coming and known["rank_by"] not in possible:
            expected = f"one of {', '.join(possible)} (all this request has)"
            raise InvalidInput("rank_by", expected, known["rank_by"])

    def load(self, weights: Weights) -> None:
        """Loads a CLIP model and its processor."""
        self._clip = Clip(weights)

    def predict(
        self,
        progress: Progress,
        pictures: list[Image],
        prompt: Prompt | None = None,
        prompts: Annotated[
            list[Prompt] | None, Field(description="One a picture, instead of one of all")
        ] = None,
        steered_by: list[str] | None = None,
        image: Image | None = None,
        rank_by: Annotated[
            Literal["prompt", "image", "fidelity"],
            Field(description="Score to order by: prompt, image or fidelity"),
        ] = "prompt",
        **readings: Any,
    ) -> Ranking:
        """Scores and orders the pictures.

        Args:
            readings: what the readers have read, and what steered the pictures.

        Raises:
            InvalidInput: `rank_by` asks for a score that this request cannot have.
        """
        embedded = self._clip.embed_pictures([one.rgb() for one in [*pictures, *([image] if image else [])]])
        drawn = embedded[: len(pictures)]
        if prompt is None and prompts is None:
            raise InvalidInput("prompt", "a prompt, or prompts, one a picture", "neither")
        texts = [prompt or ""] * len(pictures) if prompts is None else prompts
        if len(texts) != len(pictures):
            raise InvalidInput("prompts", f"{len(pictures)} prompts, one a picture", texts)
        known = list(dict.fromkeys(texts))
        similarities = drawn @ self._clip.embed_texts(known).T
        own = [known.index(text) for text in texts]
        scores = {"prompt": similarities[np.arange(len(texts)), own]}
        ranking: Ranking = {"order": [], "clip_prompt": scores["prompt"].tolist()}
        if image:
            scores["image"] = drawn @ embedded[-1]
            ranking["clip_image"] = scores["image"].tolist()
        present = {
            prior: {port: readings[port] for port in Signature.of(reader).outputs if port in readings}
            for prior, reader in self._readers.items()
            if prior in readings
        }
        if steered_by and present:
            if len(steered_by) != len(pictures):
                raise InvalidInput("steered_by", f"{len(pictures)} names, one a picture", steered_by)
            fidelity = []
            for index, (picture, name) in enumerate(zip(pictures, steered_by, strict=True)):
                progress(index, len(pictures))
                fidelity.append(self._fidelity(picture, name, present))
            scores["fidelity"] = np.array(fidelity, np.float32)
            ranking["fidelity"] = fidelity
        if rank_by not in scores:
            raise InvalidInput("rank_by", f"one of {', '.join(scores)} (all this request has)", rank_by)
        ranking["order"] = np.argsort(-scores[rank_by], kind="stable").tolist()
        return ranking

    def _fidelity(self, picture: Image, name: str, controls: Mapping[str, Mapping[str, Any]]) -> float:
        """Returns the fidelity to the prior `name`; to all, on average, where it is none of them."""
        readers = {prior: self._readers[prior] for prior in ([name] if name in controls else controls)}
        found = [reader.fidelity(controls[prior], reader.again(picture)) for prior, reader in readers.items()]
        return float(np.mean(found))
