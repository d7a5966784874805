"""Measures how near `restyle` comes to styles and what it leaves of photographs: `make photo-style-eval`.

Writes `photo/STYLES.md` and the sheet `docs/restyle.jpg`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from transformers import AutoModelForImageClassification

from components.edges import Edges
from components.restyle import Restyle
from imagegraph.component import Progress
from imagegraph.image import Image
from imagegraph.spec.catalogue import ROOT, Catalogue
from photo.conversion import WEIGHTS
from photo.paint_gallery import GALLERY, PAINTERS
from photo.photographs import photographs

BUNDLE = "photo"
PHOTOGRAPHS = ("astronaut", "chelsea", "china", "coffee", "flower", "rocket")  # installed, in colour
SHEET = ("astronaut", "chelsea", "china")
SIDE = 384  # px, the shorter one, as the original network paints
STRIDES = (2, 4, 8)  # of the features: what strokes and colours are; deeper ones tell things, not manners

Picture = PillowImage.Image
Grams = list[NDArray[np.float32]]


class Score(NamedTuple):
    """Of one painting.

    Attributes:
        nearer: the part by which the Gram distance to the style has fallen, from the photo's; 1 is all of it.
        edges: F1 of the photo's edges in it, as the bundle reads them.
    """

    nearer: float
    edges: float


class Textures:
    """Compares the textures of pictures by the classifier of `photo`, which nothing here was trained with.

    Source: Gatys et al. 2016, Image style transfer using convolutional neural networks, section 2.2.
    """

    def __init__(self) -> None:
        model = AutoModelForImageClassification.from_pretrained(WEIGHTS / "classes", dtype=torch.float32)
        # A processor computes these depthwise convolutions twice as fast with the channels last.
        self._network = model.base_model.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def grams(self, picture: Picture) -> Grams:
        """Return the Gram matrix of the last features of every stride, at the picture's own size."""
        pixels = torch.from_numpy(np.asarray(picture, np.float32) / 127.5 - 1)
        features = self._network.embeddings(pixels[None].permute(0, 3, 1, 2))  # channels stay last
        last: dict[int, NDArray[np.float32]] = {}
        for block in self._network.encoder.blocks:
            features = block(features)
            stride = round(picture.width / features.shape[-1])
            if stride > STRIDES[-1]:
                break
            flat = features[0].flatten(1)
            last[stride] = (flat @ flat.T / flat.shape[1]).numpy()
        return [last[stride] for stride in STRIDES]

    @staticmethod
    def distance(one: Grams, style: Grams) -> float:
        """Return the squared distance to a style's, each stride in parts of the style's own size."""
        pairs = zip(one, style, strict=True)
        return float(sum(((found - wanted) ** 2).sum() / (wanted**2).sum() for found, wanted in pairs))


def photograph(name: str) -> Picture:
    """Return a photograph, its shorter side SIDE px."""
    picture = photographs()[name].load()
    scale = SIDE / min(picture.size)
    return picture.resize([round(side * scale) for side in picture.size], PillowImage.Resampling.LANCZOS)


def painter() -> Restyle:
    """Return the bundle's component, loaded."""
    entry = Catalogue.read().entry("restyle")
    component = entry.build(BUNDLE, {})
    component.load(entry.weights(BUNDLE, "cpu"))
    assert isinstance(component, Restyle)
    return component


def paint(restyle: Restyle, photo: Picture, *names: str) -> Picture:
    """Return a photo in the blend of styles of the gallery."""
    (painted,) = restyle.predict(Image(pixels=photo), Progress(), style_names=list(names))["pictures"]
    return painted.rgb()


def style(name: str) -> Picture:
    """Return a picture of the gallery."""
    return PillowImage.open(GALLERY / f"{name}.jpg").convert("RGB")


def scores(names: Sequence[str] = PHOTOGRAPHS) -> Mapping[tuple[str, str], Score]:
    """Return the score of every style on every photograph."""
    restyle, textures = painter(), Textures()
    entry = Catalogue.read().entry("edges")
    edges = entry.build(BUNDLE, {})
    assert isinstance(edges, Edges)
    edges.load(entry.weights(BUNDLE, "cpu"))
    looks = {name: textures.grams(style(name)) for name in PAINTERS}
    found = {}
    for name in names:
        photo = photograph(name)
        lines, grams = edges.predict(Image(pixels=photo)), textures.grams(photo)
        for manner, look in looks.items():
            painting = paint(restyle, photo, manner)
            left = textures.distance(textures.grams(painting), look) / textures.distance(grams, look)
            kept = edges.fidelity(lines, edges.predict(Image(pixels=painting)))
            found[manner, name] = Score(1 - left, kept)
    return found


def table(found: Mapping[tuple[str, str], Score]) -> str:
    """Return the scores as a table of styles by photographs, with means."""

    def cell(chosen: Sequence[Score]) -> str:
        nearer, kept = np.mean(chosen, axis=0)
        return f"{nearer:.0%}, {kept:.2f}"

    rows = [["style", *PHOTOGRAPHS, "mean"], ["---"] * (len(PHOTOGRAPHS) + 2)]
    for manner in PAINTERS:
        own = [found[manner, name] for name in PHOTOGRAPHS]
        rows.append([manner, *(cell([one]) for one in own), cell(own)])
    columns = [[found[manner, name] for manner in PAINTERS] for name in PHOTOGRAPHS]
    rows.append(["mean", *map(cell, columns), cell(list(found.values()))])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def sheet(height: int = 150) -> Picture:
    """Return photographs, and below them what they are in every style of the gallery, to its right."""
    restyle = painter()
    photos = [photograph(name) for name in SHEET]
    blank = PillowImage.new("RGB", (height, height), "white")
    rows = [[blank, *photos]]
    rows += [[style(manner), *(paint(restyle, photo, manner) for photo in photos)] for manner in PAINTERS]
    widths = [round(one.width * height / one.height) for one in rows[0]]
    whole = PillowImage.new("RGB", (sum(widths), height * len(rows)), "white")
    for row, pictures in enumerate(rows):
        for column, (picture, width) in enumerate(zip(pictures, widths, strict=True)):
            small = picture.resize((width, height), PillowImage.Resampling.LANCZOS)
            whole.paste(small, (sum(widths[:column]), row * height))
    return whole


def main() -> None:
    """Measure, write."""
    (ROOT / "photo" / "STYLES.md").write_text(
        "# How near `restyle` comes to styles\n\n"
        "Written by `make photo-style-eval` (`photo/measure_style.py`); do not edit. Photographs whose\n"
        f"shorter side is {SIDE} px, in the styles of the gallery: the part by which the Gram distance to\n"
        "the style falls, and F1 of the photograph's edges as the bundle's `edges` reads them. The Gram\n"
        "matrices are of features of the bundle's classifier (EfficientNet-Lite2) at strides 2, 4 and 8.\n\n"
        + table(scores())
    )
    print((ROOT / "photo" / "STYLES.md").read_text())
    sheet().save(ROOT / "docs" / "restyle.jpg", quality=85)


if __name__ == "__main__":
    main()
