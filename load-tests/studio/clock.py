"""A component for the studio's benchmark: notes when it told of each step."""

import os
import time
from pathlib import Path
from typing import Annotated, TypedDict

import numpy as np
from pydantic import Field

from imagegraph.component import Component, Progress
from imagegraph.image import Image


class Told(TypedDict):
    """drawn: one picture, of its own for each seed."""

    drawn: Image


class Clock(Component):
    """Notes the time of each step in the file CLOCK_LOG."""

    pure = False

    def predict(
        self, progress: Progress, seed: int = 0, steps: Annotated[int, Field(ge=0, le=100)] = 0
    ) -> Told:
        """Answers a picture after some steps of a twentieth of a second."""
        for step in range(steps):
            with Path(os.environ["CLOCK_LOG"]).open("a") as file:
                file.write(f"{time.time()}\n")
            progress(step, steps)
            time.sleep(0.05)
        return {"drawn": Image.from_array(np.full((64, 64, 3), seed % 256, np.uint8))}
