"""A component of the studio's tests: paints in steps, as slowly as it is told."""

import os
import time
from pathlib import Path
from typing import Annotated, TypedDict

import numpy as np
from pydantic import Field

from imagegraph.component import Component, Progress
from imagegraph.image import Image
from imagegraph.ports import Prompt, Seed


class Painted(TypedDict):
    """pictures: in the colour of the seed; seeds: of each; clip_prompt: how well each fits."""

    pictures: list[Image]
    seeds: list[int]
    clip_prompt: list[float]
    order: list[int]


class Painter(Component):
    """Paints."""

    pure = False

    def predict(
        self,
        progress: Progress,
        prompt: Prompt = "",
        seed: Seed = 0,
        variants: Annotated[int, Field(ge=1, le=16)] = 1,
        step_s: Annotated[float, Field(ge=0, le=10)] = 0.0,
        steps: Annotated[int, Field(ge=1, le=1000)] = 2,
        tint: Annotated[int, Field(ge=0, le=100)] = 0,
    ) -> Painted:
        """Answers pictures, after some steps."""
        if log := os.environ.get("PAINTER_LOG"):
            with Path(log).open("a") as file:
                file.write(f"{prompt}\n")
        seeds = [seed + one for one in range(variants)]
        for step in range(steps):
            progress(step, steps, lambda: paint(seed))
            time.sleep(step_s)
        scores = [1 / (1 + one) for one in range(variants)]
        pictures = [paint(one + tint * 2**16) for one in seeds]
        return {"pictures": pictures, "seeds": seeds, "clip_prompt": scores, "order": list(range(variants))}


def paint(seed: int) -> Image:
    """Returns a picture that only this seed has."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:] = (seed % 256, seed // 256 % 256, seed // 65536 % 256)
    return Image.from_array(pixels)
