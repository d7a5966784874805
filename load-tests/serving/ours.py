"""Components of the benchmark: one answers its picture, one sleeps, one gains from batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from imagegraph.component import Batched, Component, Progress
from imagegraph.image import Image


class Picture(TypedDict):
    """What goes out."""

    image: Image


class Identity(Component):
    """Answers the picture that came."""

    inline = True

    def predict(self, image: Image) -> Picture:
        """Returns the picture."""
        return {"image": image}


class Sleep(Component):
    """A model of 20 ms."""

    def predict(self, image: Image) -> Picture:
        """Returns the picture after 20 ms."""
        time.sleep(0.02)
        return {"image": image}


@dataclass(frozen=True)
class One:
    """A picture of a batch; all may share one."""

    image: Image
    key: int = 0
    cost: float = 1.0


class Batch(Batched):
    """A model of 15 + 1.5 n ms for n pictures."""

    def prepare(self, image: Image) -> One:
        """Returns the job."""
        return One(image)

    def predict_batch(self, jobs: Sequence[One], progress: Progress) -> list[Picture]:
        """Returns the pictures after the time that they take together."""
        time.sleep(0.015 + 0.0015 * len(jobs))
        return [{"image": job.image} for job in jobs]
