"""Draw pocket/samples.png: what the models read from a scene and what they draw from it.

python -m pocket.samples
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from components.pose import draw_people
from pocket import photographs
from pocket.bundle import CONTROLS, Picture, draw, find_poses, processor, reader
from pocket.controls import CONTROLS as DRAWN_BY
from pocket.controls import Truth
from pocket.pictures import to_tensor
from pocket.train_segmentation import predict
from pocket.train_upscale import double
from pocket.training import HERE
from pocket.world import SIZE, make_scene

CAPTIONS = (
    "a red sphere",
    "a person in green",
    "a purple cylinder",
    "a blue cube left of a yellow cylinder",
    "a person in red left of a person in cyan",
    "an orange cube",
    "a pink cone in front of a blue cylinder",
    "a cyan cube",  # the last three have pairs of colour and shape that training never showed
    "a purple cone",
    "a person in yellow",
)
SCENES = (17, 13, 6)  # seeds of the split "seen"; scenes with people
COLUMNS = 5
PART = (150, 20)  # px; a face
CELL, GAP, LINE = 176, 8, 16  # px
INK, PAPER = (40, 44, 52), (250, 249, 246)


@torch.no_grad()
def read_scene(image: Picture) -> tuple[str, dict[str, Picture]]:
    """Return what the models read from a picture: its caption and a control picture of each kind."""
    pixels = to_tensor(image[None])
    depth = reader("depth")(pixels).predicted_depth[0].numpy()
    classes = predict(reader("segmentation"), pixels)[0].argmax(0).byte().numpy()
    people = find_poses(image)
    read = Truth(image, depth, classes, people)
    maps = {kind: DRAWN_BY[kind].draw(read) for kind in CONTROLS}
    maps["pose"] = draw_people(people, *image.shape[:2])
    tokens = reader("caption").generate(pixels, max_length=24)
    return processor("caption").decode(tokens[0], skip_special_tokens=True), maps


def write_samples(path: Path) -> None:
    """Draw the sheet."""
    rows: list[tuple[str, list[tuple[str, Picture]]]] = []
    drawn = list(zip(CAPTIONS, draw(list(CAPTIONS)), strict=True))
    rows.append(("Pictures from words", drawn[:COLUMNS]))
    rows.append(("", drawn[COLUMNS:]))
    for seed in SCENES:
        image = make_scene(seed, "seen").image
        caption, maps = read_scene(image)
        again = {kind: draw([caption], kind, [maps[kind]])[0] for kind in CONTROLS}
        rows.append((f"A scene and what is read from it: {caption}", [("scene", image), *maps.items()]))
        rows.append(("Pictures from that", [("caption alone", draw([caption])[0]), *again.items()]))
    rows.append(("A photograph doubled", doubled()))
    sheet(rows).save(path, optimize=True)


def doubled() -> list[tuple[str, Picture]]:
    """Return part of a held-out photograph: halved, doubled again in two ways, and as it was."""
    left, top = PART
    image = photographs.load(photographs.HELD_OUT[0]).crop((left, top, left + SIZE, top + SIZE))
    small = photographs.halve(image)
    pictures = {
        "halved": small.resize(image.size, Image.Resampling.NEAREST),
        "bicubic": small.resize(image.size, Image.Resampling.BICUBIC),
        "pocket": double(reader("upscale"), processor("upscale"), small),
        "original": image,
    }
    return [(label, np.asarray(picture)) for label, picture in pictures.items()]


def sheet(rows: list[tuple[str, list[tuple[str, Picture]]]]) -> Image.Image:
    """Lay rows of labelled pictures out under their headings."""
    heights = [(LINE + GAP if title else 0) + CELL + LINE + GAP for title, _ in rows]
    page = Image.new("RGB", (GAP + COLUMNS * (CELL + GAP), sum(heights) + GAP), PAPER)
    pen = ImageDraw.Draw(page)
    heading, small = ImageFont.load_default(13), ImageFont.load_default(10)
    top = GAP
    for (title, cells), height in zip(rows, heights, strict=True):
        pen.text((GAP, top + GAP / 2), title, INK, heading)
        below = top + height - CELL - LINE - GAP
        for c, (label, picture) in enumerate(cells):
            left = GAP + c * (CELL + GAP)
            large = cv2.resize(picture, (CELL, CELL), interpolation=cv2.INTER_LANCZOS4)
            page.paste(Image.fromarray(large), (left, below))
            pen.text((left, below + CELL + 2), label, INK, small)
        top += height
    return page


if __name__ == "__main__":
    write_samples(HERE / "samples.png")
