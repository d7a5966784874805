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
from pocket.data import control_image
from pocket.pictures import to_tensor
from pocket.train_segmentation import predict
from pocket.train_upscale import double
from pocket.training import HERE
from pocket.world import SIZE, make_scene

CAPTIONS = (
    "a red sphere",
    "a person in green",
    "a blue cube left of a yellow cylinder",
    "a person in red right of a cyan cone",
    "a pink cone in front of a blue cylinder",
    "a purple cone",  # the last two have pairs of colour and shape that training never showed
    "a cyan cube",
)
SCENES = (6, 17, 24)  # seeds of the split "seen"; scenes with people
CELL, GAP, LINE = 176, 8, 16  # px
INK, PAPER = (40, 44, 52), (250, 249, 246)


@torch.no_grad()
def read_scene(image: Picture) -> tuple[str, dict[str, Picture]]:
    """Return what the models read from a picture: its caption and a control picture of each kind."""
    pixels = to_tensor(image[None])
    depth = reader("depth")(pixels).predicted_depth[0].numpy()
    classes = predict(reader("segmentation"), pixels)[0].argmax(0).byte().numpy()
    people = find_poses(image)
    maps = {kind: control_image(kind, image, depth, classes, people) for kind in CONTROLS}
    maps["pose"] = draw_people(people, *image.shape[:2])
    tokens = reader("caption").generate(pixels, max_length=24)
    return processor("caption").decode(tokens[0], skip_special_tokens=True), maps


def write_samples(path: Path) -> None:
    """Draw the sheet."""
    rows: list[tuple[str, list[tuple[str, Picture]]]] = []
    drawn = draw(list(CAPTIONS))
    rows.append(("words → pictures", list(zip(CAPTIONS, drawn, strict=True))))
    for seed in SCENES:
        image = make_scene(seed, "seen").image
        caption, maps = read_scene(image)
        again = {kind: draw([caption], kind, [maps[kind]])[0] for kind in CONTROLS}
        rows.append((f"a scene → its priors: “{caption}”", [("scene", image), *maps.items()]))
        rows.append(("priors → pictures", [("caption", draw([caption])[0]), *again.items()]))
    rows.append(("a photograph, doubled", doubled()))
    sheet(rows).save(path, optimize=True)


def doubled() -> list[tuple[str, Picture]]:
    """Return crops of held-out photographs: doubled by interpolation, by the model, and as they were."""
    cells = []
    for photo, corner in zip(photographs.HELD_OUT[:2], ((150, 20), (120, 90)), strict=True):
        box = (*corner, corner[0] + SIZE, corner[1] + SIZE)
        image = photographs.load(photo).crop(box)
        small = photographs.halve(image)
        bicubic = small.resize(image.size, Image.Resampling.BICUBIC)
        ours = double(reader("upscale"), processor("upscale"), small)
        cells += [("bicubic", bicubic), ("pocket", ours), ("original", image)]
    return [(label, np.asarray(picture)) for label, picture in cells]


def sheet(rows: list[tuple[str, list[tuple[str, Picture]]]]) -> Image.Image:
    """Lay rows of labelled pictures out under their headings."""
    columns = max(len(cells) for _, cells in rows)
    height = CELL + 2 * LINE + 2 * GAP
    page = Image.new("RGB", (GAP + columns * (CELL + GAP), len(rows) * height + GAP), PAPER)
    pen = ImageDraw.Draw(page)
    heading, small = ImageFont.load_default(13), ImageFont.load_default(10)
    for r, (title, cells) in enumerate(rows):
        top = GAP + r * height
        pen.text((GAP, top), title, INK, heading)
        for c, (label, picture) in enumerate(cells):
            left = GAP + c * (CELL + GAP)
            large = cv2.resize(picture, (CELL, CELL), interpolation=cv2.INTER_LANCZOS4)
            page.paste(Image.fromarray(large), (left, top + LINE + 2))
            pen.text((left, top + LINE + CELL + 4), label, INK, small)
    return page


if __name__ == "__main__":
    write_samples(HERE / "samples.png")
