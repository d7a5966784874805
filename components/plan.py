"""What one request asks `generate` to draw: which pictures, steered by what, how large."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Self

import pydantic
from pydantic import Field

from imagegraph.codecs.pixels import MAX_ASPECT
from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.ports import SEEDS, OpenName, Unit

COMBINED = "combined"
MOST_PICTURES = 256

ControlName = Annotated[str, OpenName()]
AdapterStrength = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
PictureName = Annotated[str, OpenName(("caption", "prompt", COMBINED))]

Strength = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=64, le=2048, multiple_of=64, json_schema_extra={"unit": "px"})]


class Control(pydantic.BaseModel, extra="forbid", frozen=True):
    """How one prior steers: how strongly, and from which to which part of the steps (0..1)."""

    strength: Strength = 1.0
    start: Unit = 0.0
    end: Unit = 1.0

    @pydantic.model_validator(mode="after")
    def _start_before_end(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"a start before the end, not {self.start} to {self.end}")
        return self


@dataclass(frozen=True)
class Plan:
    """What one request asks to be drawn.

    Attributes:
        prompts, names, seeds: one a picture; a name is a prior, `combined`, or where no control steers
            `caption` or `prompt`.
        pieces: for each, how often the text encoders have to read until the end of the longer prompt.
        adapters: strengths of those that change the base, by name.
        maps: the controls by prior, in `shape`.
        shape: width and height in px.
        photo: what to start from in `shape`, noised by `image_strength` (0..1); None starts from noise.
    """

    prompts: Sequence[str]
    negative_prompt: str
    names: Sequence[str]
    seeds: Sequence[int]
    pieces: Sequence[int]
    adapters: Mapping[str, float]
    maps: Mapping[str, Image]
    controls: Mapping[str, Control]
    combined_strength: float
    steps: int
    guidance: float
    shape: tuple[int, int]
    photo: Image | None
    image_strength: float

    @property
    def start(self) -> float | None:
        """How far the photo is noised to start from; None starts from noise."""
        return self.image_strength if self.photo else None

    @property
    def guided(self) -> bool:
        """Whether each picture is looked at without its prompt, too; guidance of at most 1 is none."""
        return self.guidance > 1

    @property
    def key(self) -> Hashable:
        """What requests have to agree in, to share their loops."""
        return self.shape, self.steps, self.guided, self.start, *self.loops

    @property
    def loops(self) -> list[int]:
        """The pieces of its prompts: a loop for each, since a longer prompt would lengthen the others."""
        return sorted(set(self.pieces))

    def in_loop(self, pieces: int) -> Plan:
        """The part of it that one loop draws."""
        rows = [row for row, own in enumerate(self.pieces) if own == pieces]
        return replace(
            self,
            prompts=[self.prompts[row] for row in rows],
            names=[self.names[row] for row in rows],
            seeds=[self.seeds[row] for row in rows],
            pieces=[pieces] * len(rows),
        )

    @property
    def cost(self) -> float:
        """How many pictures it is."""
        return len(self.names)

    def strength(self, role: str, row: int) -> float:
        """How strongly the control of `role` steers picture `row`; 0 is not at all."""
        own = self.control(role).strength
        return {role: own, COMBINED: own * self.combined_strength}.get(self.names[row], 0.0)

    def control(self, role: str) -> Control:
        """How the prior `role` steers."""
        return self.controls.get(role) or Control()


def share_of_each(acting: int) -> float:
    """Returns the factor of every control's strength in a picture that `acting` of them steer.

    Each at its full strength, fidelity falls with every prior that is added. So it falls least, and CLIP
    stays what one prior has: measured on pocket by load-tests/bench_combined.py.
    """
    return math.pow(max(acting, 1), -0.25)


def check_shape(width: int, height: int, field: str) -> None:
    """Refuses a size that no node could read again."""
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InvalidInput(field, f"width and height within {MAX_ASPECT:g}:1", f"{width}x{height}")


def count_up(seed: int, count: int) -> list[int]:
    """Returns the seed of each variant of each prompt.

    Raises:
        InvalidInput: the last one would be none.
    """
    if seed + count > SEEDS:
        raise InvalidInput("seed", f"at most {SEEDS - count} for {count} variants", seed)
    return list(range(seed, seed + count))


def check_count(names: Sequence[str]) -> None:
    """Refuses more pictures than one request may ask for."""
    if len(names) > MOST_PICTURES:
        raise InvalidInput("prompts", f"at most {MOST_PICTURES} pictures, all prompts together", len(names))


def check_seeds(seeds: Sequence[int], names: Sequence[str]) -> None:
    """Refuses more or fewer seeds than pictures."""
    if len(seeds) != len(names):
        raise InvalidInput("seeds", f"{len(names)} seeds, one a picture ({', '.join(names)})", list(seeds))


def choose_pictures(asked: Sequence[str] | None, maps: Sequence[str], unsteered: str) -> list[str]:
    """Names the pictures to draw: without steering, by each map, and by all maps at once.

    Raises:
        InvalidInput: a picture is asked for that cannot be drawn, or twice.
    """
    possible = [unsteered, *maps, *([COMBINED] if len(maps) > 1 else [])]
    if asked is None:
        return possible
    for name in asked:
        if name not in possible:
            raise InvalidInput("priors", f"some of {', '.join(possible)}", name)
    if len(set(asked)) != len(asked):
        raise InvalidInput("priors", "each prior once (use variants for more)", list(asked))
    return list(asked)
