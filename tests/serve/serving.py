"""Components for tests of serving."""

import time
from typing import Annotated, TypedDict

import numpy as np
from pydantic import Field

from imagegraph.component import Component, Progress, Weights
from imagegraph.image import Image
from imagegraph.ports import Array, Prompt, Seed, Unit


class Picture(TypedDict):
    image: Image


class Identity(Component):
    def predict(self, image: Image) -> Picture:
        return {"image": image}


class Slept(TypedDict):
    slept: float


class Asleep(Component):
    """Sleeps in short steps, so that it can be woken."""

    def predict(self, progress: Progress, seconds: float = 1.0) -> Slept:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            progress(0, 1)
            time.sleep(0.005)
        return {"slept": seconds}


class Later(Component):
    def load(self, weights: Weights) -> None:
        time.sleep(2)

    def predict(self, number: int) -> Slept:
        return {"slept": float(number)}


class Read(TypedDict):
    read: int


class Everything(Component):
    """Reads a port of every kind."""

    def predict(
        self,
        number: Annotated[int, Field(ge=0)] = 0,
        seed: Seed = 0,
        ratio: Unit = 0.5,
        flag: bool = False,
        text: Prompt = "",
        words: list[str] = [],  # noqa: B006  (a default of a port)
        image: Image | None = None,
        images: list[Image] = [],  # noqa: B006
        box: dict[str, float] | None = None,
        points: Annotated[np.ndarray, Array("float32", (-1, 2))] | None = None,
    ) -> Read:
        given = (number, seed, ratio, flag, text, words, image, images, box, points)
        return {"read": sum(one is not None for one in given)}
