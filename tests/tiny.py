"""Tiny components, and catalogues of them, for tests of what runs components."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from imagegraph.component import Batched, Component, Progress, Router, Weights
from imagegraph.errors import MissingWeights
from imagegraph.image import Image
from imagegraph.ports import Array, OpenName
from imagegraph.spec.catalogue import ROOT, Catalogue

CATALOGUE = """
base: none
entries:
  double: {component: tests.tiny:Double, summary: Doubles a number, bundles: {pocket: {}, sd15: {}}}
  add:
    component: tests.tiny:Add
    summary: Adds a number
    bundles: {pocket: {settings: {addend: 10}, defaults: {number: 5}}}
  slow: {component: tests.tiny:Slow, summary: Waits in steps, bundles: {pocket: {}}}
  late: {component: tests.tiny:Late, summary: Loads when told to, bundles: {pocket: {}}}
  broken: {component: tests.tiny:Broken, summary: Does not load, bundles: {pocket: {}}}
  faulty: {component: tests.tiny:Faulty, summary: Fails at work, bundles: {pocket: {}}}
  source: {component: components.source:Source, summary: Echoes, bundles: {pocket: {}}}
  unite: {component: components.priors:Priors, summary: Unites, bundles: {pocket: {}}}
  by-size: {component: tests.tiny:BySize, summary: Small numbers left, bundles: {pocket: {}}}
  paint: {component: tests.tiny:Paint,
    summary: Paints, bundles: {pocket: {weights: {colours: {path: tests}}}}}
  film: {component: tests.tiny:Film, summary: Frames, bundles: {pocket: {settings: {side: 32}}}}
  together: {component: tests.tiny:Together, summary: Doubles several at once, bundles: {pocket: {}}}
  hostile: {component: tests.tiny:Hostile, summary: Does what it is told, bundles: {pocket: {}}}
  switch:
    component: tests.tiny:Switch
    summary: Says loud or low
    bundles: {pocket: {defaults: {loud: true}}}
  greet: {component: tests.tiny:Greet, summary: Greets somebody, bundles: {pocket: {}}}
  user: {component: tests.tiny:User, summary: Uses double, uses: {twice: double}, bundles: {pocket: {}}}
graphs:
  sum:
    summary: A number doubled, and the number itself
    root:
      name: add
      type: OUTPUT_TRANSFORMER
      children:
        - name: unite
          type: COMBINER
          children: [{name: source, type: TRANSFORMER}, {name: double}]
  ways:
    summary: One of two
    root:
      name: by-size
      type: ROUTER
      children: [{name: left, entry: add}, {name: right, entry: double}]
""".replace("path: tests", f"path: {ROOT / 'tests'}")


def catalogue(folder: Path, text: str = CATALOGUE) -> Catalogue:
    path = folder / "catalogue.yaml"
    path.write_text(text if "base: none" in text else f"{text}\nbase: none\n")
    return Catalogue.read([path])


class Number(TypedDict):
    number: int


class Doubled(TypedDict):
    doubled: int


class Double(Component):
    def predict(self, number: int) -> Doubled:
        return {"doubled": 2 * number}


@dataclass(frozen=True)
class Doubling:
    """Odd and even numbers are not doubled together."""

    number: int

    @property
    def key(self) -> int:
        return self.number % 2

    cost = 1.0


class Together(Batched):
    """Doubles the numbers of a batch, slowly; `batches` tells what was computed together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def prepare(self, number: Annotated[int, Field(ge=0)]) -> Doubling:
        return Doubling(number)

    def predict_batch(self, jobs: Sequence[Doubling], progress: Progress) -> list[Doubled]:
        self.batches.append([job.number for job in jobs])
        for step in range(10):
            progress(step, 10)
            time.sleep(0.01)
        return [{"doubled": 2 * job.number} for job in jobs]


class Hostile(Batched):
    """Plans and answers what `plan` and `answer` do with a number."""

    plan: Callable[[int], Any] = staticmethod(Doubling)
    answer: Callable[[Sequence[Any]], Any] = staticmethod(lambda jobs: [{"doubled": 0} for _ in jobs])

    def prepare(self, number: int) -> Doubling:
        return type(self).plan(number)

    def predict_batch(self, jobs: Sequence[Any], progress: Progress) -> list[Doubled]:
        return type(self).answer(jobs)


class Add(Component):
    def __init__(self, addend: int) -> None:
        self.addend = addend

    def predict(self, number: Annotated[int, Field(ge=0, description="Any")], doubled: int = 0) -> Number:
        return {"number": number + doubled + self.addend}


class Slow(Component):
    """Works until it is stopped, at most 10 s; `stopped` tells that it was."""

    stopped = threading.Event()

    def predict(self, progress: Progress, number: int = 0) -> Number:
        try:
            for step in range(1000):
                progress(step, 1000)
                time.sleep(0.01)
        finally:
            self.stopped.set()
        return {"number": number}


class Stubborn(Component):
    """Gives no sign of life for a second."""

    def predict(self) -> Number:
        time.sleep(1)
        return {"number": 0}


class Late(Component):
    """Loads when `go` is set."""

    go = threading.Event()

    def load(self, weights: Weights) -> None:
        self.go.wait(10)

    def predict(self, number: int) -> Number:
        return {"number": number}


class Broken(Component):
    def load(self, weights: Weights) -> None:
        raise MissingWeights("no weights; pull them")

    def predict(self, number: int) -> Number:
        return {"number": number}


class Faulty(Component):
    def predict(self, number: int) -> Number:
        return self.fail(number)

    def fail(self, *_: Any) -> Any:
        return 1 // 0


class BySize(Router):
    def route(self, number: int = 0) -> int:
        return 0 if number < 10 else 1


class Switched(TypedDict):
    said: str


class Switch(Component):
    def predict(self, loud: bool = False) -> Switched:
        return {"said": "loud" if loud else "low"}


class Greet(Component):
    """Has inputs that are called like arguments and options of `run`."""

    def predict(self, name: str, quiet: bool = False) -> Switched:
        return {"said": f"{'hello' if quiet else 'HELLO'} {name}"}


class User(Component):
    def __init__(self, uses: Mapping[str, Component]) -> None:
        self.uses = uses

    def predict(self, number: int) -> Number:
        twice = self.uses.get("twice")
        return {"number": twice.predict(number)["doubled"] if twice else -1}


class Painted(TypedDict):
    pictures: list[Image]
    seeds: list[int]
    steered_by: list[str]
    order: list[int]
    depth: Image
    numbers: list[float]


class Paint(Component):
    """Two pictures, of the photo's size, in colours by seed."""

    roles = ("colours",)

    def predict(
        self,
        progress: Progress,
        image: Image | None = None,
        pictures: list[Image] | None = None,
        seed: int = 0,
        prompt: str = "",
    ) -> Painted:
        progress(1, 2)
        width, height = image.size if image else (32, 16)
        seeds = [seed, seed + 1]
        drawn = [Image.from_array(np.full((height, width, 3), one, np.uint8)) for one in seeds]
        return {
            "pictures": [*drawn, *(pictures or [])],
            "seeds": [*seeds, *range(len(pictures or []))],
            "steered_by": ["depth", "combined", *("given" for _ in pictures or [])],
            "order": [1, 0, *range(2, 2 + len(pictures or []))],
            "depth": Image.from_array(np.zeros((height, width), np.uint16)),
            "numbers": [0.5, 1.5],
        }


class Filmed(TypedDict):
    image: Image
    frames: list[Image]
    titles: list[str]
    sharpness: list[float]
    shots: list[int]
    words: list[str]
    points: Annotated[NDArray[np.float32], Array("float32", (-1, 2))]
    facts: dict[str, Any]


class Film(Component):
    """Three frames of 16 bit, the photo negated, and values of every kind."""

    def __init__(self, side: int) -> None:
        self.side = side

    def predict(self, image: Image | None = None, number: int = 0) -> Filmed:
        photo = np.asarray(image.rgb()) if image else np.zeros((16, 16, 3), np.uint8)
        frame = np.arange(self.side * self.side, dtype=np.uint16).reshape(self.side, self.side)
        return {
            "image": Image.from_array(255 - photo),
            "frames": [Image.from_array(frame + one) for one in range(3)],
            "titles": ["the first", "../zweites: Bild", "三"],
            "sharpness": [0.5, float("nan"), 1.0],
            "shots": [1, 2, 2],
            "words": ["two", "only"],
            "points": np.eye(2, dtype=np.float32)[:, ::-1],
            "facts": {"large": 2**70, "bytes": b"\xff", "many": {1}, "none": None, "one": np.float32(0.5)},
        }


class Steered(Component):
    """Answers how many controls it was given."""

    opens = "control"

    def predict(
        self, only: list[Annotated[str, OpenName(("all",))]] | None = None, **controls: int
    ) -> Number:
        return {"number": len(controls)}


class Reading(Component):
    """Answers how many readings it was given."""

    opens = "uses"

    def __init__(self, uses: Mapping[str, Component]) -> None:
        self.uses = uses

    def predict(self, **readings: Any) -> Number:
        return {"number": len(readings)}
