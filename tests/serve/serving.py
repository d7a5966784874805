"""Components for tests of serving."""

import ctypes
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
from pydantic import Field

from imagegraph import image
from imagegraph.component import Batched, Component, Progress, Weights
from imagegraph.errors import InvalidInput
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


class Stubborn(Component):
    """Sleeps, and hears of nothing meanwhile."""

    def predict(self, seconds: float = 60.0) -> Slept:
        time.sleep(seconds)
        return {"slept": seconds}


class Later(Component):
    """Loads for two seconds and, where LATER names a file, until that is there."""

    def load(self, weights: Weights) -> None:
        time.sleep(2)
        end = time.monotonic() + 60
        while "LATER" in os.environ and not Path(os.environ["LATER"]).exists() and time.monotonic() < end:
            time.sleep(0.05)

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
        for picture in [image, *images]:
            if picture is not None:
                picture.rgb()
        given = (number, seed, ratio, flag, text, words, image, images, box, points)
        return {"read": sum(one is not None for one in given)}


class Painting(Component):
    """Paints a picture in steps that can be watched."""

    def predict(self, progress: Progress, steps: int = 3, seconds: float = 0.05, grey: int = 128) -> Picture:
        picture = Image.from_array(np.full((16, 16), grey, np.uint8))
        for step in range(steps):
            progress(step, steps, lambda: picture)
            time.sleep(seconds)
        return {"image": picture}


class Said(TypedDict):
    """What was said, under the same names with `_again`."""

    text_again: str
    words_again: list[str]
    number_again: int
    numbers_again: list[int]
    image_again: Image
    images_again: list[Image]
    box_again: dict[str, float]
    points_again: Annotated[np.ndarray, Array("float32", (-1, 2))]


class Echo(Component):
    def predict(
        self,
        text: str,
        words: list[str],
        number: int,
        numbers: list[int],
        image: Image,
        images: list[Image],
        box: dict[str, float],
        points: Annotated[np.ndarray, Array("float32", (-1, 2))],
    ) -> Said:
        said = {name: value for name, value in locals().items() if name != "self"}
        return {f"{name}_again": value for name, value in said.items()}  # type: ignore[return-value]


class Hung(TypedDict):
    pictures: list[Image]
    cover: Image


class Gallery(Component):
    """Draws; a picture of its process that is encoded on the event loop is an error."""

    def load(self, weights: Weights) -> None:
        encode = image.encode_png

        def encode_png(*arguments: Any) -> bytes:
            if threading.current_thread() is threading.main_thread():
                raise RuntimeError("encoded on the event loop")
            return encode(*arguments)

        image.encode_png = encode_png

    def predict(self, progress: Progress, grey: int = 0) -> Hung:
        drawn = [Image.from_array(np.full((16, 16), grey + one, np.uint8)) for one in range(3)]
        progress(1, 2, lambda: Image.from_array(np.zeros((16, 16), np.uint8)))
        return {"pictures": drawn, "cover": drawn[0]}


@dataclass(frozen=True)
class Meal:
    size: int
    key = "meal"
    cost = 1.0


class Ate(TypedDict):
    ate: int
    together: int


class Hungry(Batched):
    """Needs memory; the file that HUNGRY_FREE names says how much there is on the device."""

    def load(self, weights: Weights) -> None:
        import torch

        self._error = torch.OutOfMemoryError

    def prepare(self, size: int) -> Meal:
        return Meal(size)

    def predict_batch(self, jobs: Sequence[Meal], progress: Progress) -> list[Ate]:
        time.sleep(0.1)
        if sum(job.size for job in jobs) > int(Path(os.environ["HUNGRY_FREE"]).read_text()):
            raise self._error("CUDA out of memory. Tried to allocate 20 GiB")
        return [{"ate": job.size, "together": len(jobs)} for job in jobs]


class Gated(Component):
    """Loads until the file named by GATE is there."""

    def load(self, weights: Weights) -> None:
        while not Path(os.environ["GATE"]).exists():
            time.sleep(0.01)

    def predict(self, number: int) -> Slept:
        return {"slept": float(number)}


class Fragile(Component):
    """Fails in the way that it is asked to, with a ballast that shall not outlive the request."""

    def load(self, weights: Weights) -> None:
        # What is large comes from the system and goes back at once, so that what is kept can be seen.
        threshold = -3  # M_MMAP_THRESHOLD
        ctypes.CDLL(None).mallopt(threshold, 128 * 1024)

    def predict(self, progress: Progress, fate: str, ballast: str = "") -> Slept:
        if fate == "raise":
            raise ValueError("broken")
        if fate == "refuse":
            raise InvalidInput("fate", "a better one", ballast)
        while fate == "sleep":
            progress(0, 1)
            time.sleep(0.005)
        return {"slept": 0.0}
