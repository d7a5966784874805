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
from pocket.bundle import CONTROLS, Picture, draw, find_poses, processor, reader, redraw
from pocket.controls import CONTROLS as DRAWN_BY
from pocket.controls import Truth
from pocket.evaluate.styled import STRENGTH
from pocket.pictures import to_tensor
from pocket.styles import STYLES, in_style
from pocket.train_segmentation import predict
from pocket.train_upscale import double
from pocket.training import HERE
from pocket.world import SIZE, Scene, make_scene

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
STYLED = "a red cone left of a blue sphere"
SHOWN = 30, "seen"  # the scene that is painted, by seed and split
COLUMNS = 8
PART = (150, 20)  # px; a face
CELL, GAP, LINE = 176, 8, 16  # px
INK, PAPER = (40, 44, 52), (250, 249, 246)


@torch.no_grad()
def read_scene(scene: Scene) -> tuple[str, dict[str, Picture]]:
    """Return what the models read from a scene: its caption and a control picture of each kind.

    The scribble alone is drawn from the truth, as by somebody who sees the scene.
    """
    image = scene.image
    pixels = to_tensor(image[None])
    depth = reader("depth")(pixels).predicted_depth[0].numpy()
    classes = predict(reader("segmentation"), pixels)[0].argmax(0).byte().numpy()
    people = find_poses(image)
    facing = torch.nn.functional.normalize(predict(reader("normals"), pixels), dim=1)[0]
    normals = ((facing + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    read = Truth(image, depth, classes, people, normals, scene.instances)
    maps = {kind: DRAWN_BY[kind].draw(read) for kind in CONTROLS}
    maps["pose"] = draw_people(people, *image.shape[:2])
    tokens = reader("caption").generate(pixels, max_length=24)
    return processor("caption").decode(tokens[0], skip_special_tokens=True), maps


def write_samples(path: Path) -> None:
    """Draw the sheet."""
    rows: list[tuple[str, list[tuple[str, Picture]]]] = []
    drawn = list(zip(CAPTIONS, draw(list(CAPTIONS)), strict=True))
    half = len(drawn) // 2
    rows.append(("Pictures from words", drawn[:half]))
    rows.append(("", drawn[half:]))
    rows.append(
        (f"{STYLED}, in four styles from words; {make_scene(*SHOWN).caption}, from its picture", styled())
    )
    for seed in SCENES:
        scene = make_scene(seed, "seen")
        caption, maps = read_scene(scene)
        again = {kind: draw([caption], kind, [maps[kind]])[0] for kind in CONTROLS}
        rows.append((f"A scene and what is read from it: {caption}", [("scene", scene.image), *maps.items()]))
        rows.append(("Pictures from that", [("caption alone", draw([caption])[0]), *again.items()]))
    rows.append(("A photograph doubled", doubled()))
    sheet(rows).save(path, optimize=True)


def styled() -> list[tuple[str, Picture]]:
    """Return pictures in every style, from words alone and from a scene with its caption."""
    scene = make_scene(*SHOWN)
    words = draw([in_style(STYLED, style) for style in STYLES])
    photos = np.stack([scene.image] * len(STYLES))
    painted = redraw(photos, [in_style(scene.caption, style) for style in STYLES], STRENGTH)
    return [*zip(STYLES, words, strict=True), *zip(STYLES, painted, strict=True)]


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
