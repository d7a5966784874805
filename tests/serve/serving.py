"""Components for tests of serving."""

import time
from typing import TypedDict

from imagegraph.component import Component, Progress, Weights
from imagegraph.image import Image


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
