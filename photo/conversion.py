"""What every conversion script does: check a converted network against the original, save and describe it."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from photo.packages import HERE, Package

WEIGHTS = HERE / "weights"
TOLERANCE = 1e-4

WIDTH = 100  # of the text of a card

Arrays = Mapping[str, NDArray[Any]]


class DifferentAnswers(Exception):
    """The converted network answers something else than the original."""


@dataclass(frozen=True)
class Card:
    """What the model card says.

    Args:
        title: one line, behind "photo: ".
        task: the hub's name of it, such as "object-detection".
        text: what the model takes and gives.
        source: of the weights, in the package and before it.
        licence: of the weights, in SPDX words.
        grounds: where that licence is stated.
        conversion: what was done to the original.
        packages: the weights' first.
        quality: where its measured quality is told.
    """

    title: str
    task: str
    text: str
    source: str
    licence: str
    grounds: str
    conversion: str
    packages: tuple[Package, ...]
    quality: str = "On photographs with truth made by hand: `photo/QUALITY.md`."

    def write(self, folder: Path, differences: Mapping[str, float]) -> None:
        """Write README.md; `differences` are measured, by what was compared."""
        origin, *checkers = self.packages
        compared = "\n".join(f"| {what} | {value:.1e} |" for what, value in differences.items())
        checked = f", run by {', '.join(map(str, checkers))}" if checkers else ""
        (folder / "README.md").write_text(
            f"---\nlicense: {self.licence.lower()}\npipeline_tag: {self.task}\n"
            "tags: [imagegraph, photo]\n---\n\n"
            f"# photo: {self.title}\n\n{fill(self.text)}\n\n"
            f"## Origin\n\n{fill(self.source)}\n\nTaken from {origin} (package: {origin.licence}), sha256\n"
            + "".join(f"`{one}`\n" for one in origin.sha256)
            + f"\n## Licence\n\n{fill(self.licence + ': ' + self.grounds)}\n\n"
            f"## Conversion\n\n{fill(self.conversion)}\n\nLargest difference from the original{checked}:\n\n"
            f"| compared | difference |\n|---|---|\n{compared}\n\n"
            f"## Measured quality\n\n{fill(self.quality)}\n"
        )


def fill(text: str) -> str:
    """Break text into lines."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def photograph(width: int, height: int) -> NDArray[np.uint8]:
    """Return the photograph that checks are made with, uint8 [height, width, 3]."""
    return np.asarray(Image.fromarray(skimage.data.astronaut()).resize((width, height)))


def difference(original: Arrays, converted: Arrays, at_most: float = TOLERANCE) -> float:
    """Return the largest difference between two answers.

    Raises:
        DifferentAnswers: names the output that differs by more than `at_most`.
    """
    largest = 0.0
    for name, expected in original.items():
        found = float(np.abs(np.ravel(expected) - np.ravel(converted[name])).max())
        if not found <= at_most:
            raise DifferentAnswers(f"{name}: differs by {found:.2e}, expected at most {at_most:g}")
        largest = max(largest, found)
    return largest


def run(model: onnx.ModelProto, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Run an ONNX model on the CPU."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def save_onnx(
    model: onnx.ModelProto,
    name: str,
    config: Mapping[str, Any],
    card: Card,
    differences: Mapping[str, float],
    file: str = "model.onnx",
) -> None:
    """Write an ONNX model, its configuration and its card to `photo/weights/<name>`."""
    folder = WEIGHTS / name
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / file)
    write_config(folder, config)
    card.write(folder, differences)
    report(folder, differences)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json."""
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def report(folder: Path, differences: Mapping[str, float]) -> None:
    """Say what was written."""
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    found = ", ".join(f"{what} {value:.1e}" for what, value in differences.items())
    print(f"{folder.relative_to(HERE.parent)}: {size:.1f} MB; differences: {found}", flush=True)
