"""A contact sheet: pictures in rows, with words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from imagegraph.image import Image

CELL, GAP, TEXT = 256, 12, 14  # px
NO_LETTERS = "(in letters that cannot be drawn here; see results.json)"


def contact_sheet(title: str, rows: Sequence[Sequence[tuple[str, Image]]], cell: int = CELL) -> Pillow.Image:
    """Draws pictures in rows under a title, each fitted into `cell` px, with labels of up to two lines."""
    fitted = [[(label, _fit(image, cell)) for label, image in row] for row in rows if row]
    heights = [max(picture.height for _, picture in row) for row in fitted]
    head, step, below = TEXT + 2 * GAP, cell + GAP, 4 * TEXT
    size = GAP + max(map(len, fitted)) * step, head + sum(heights) + len(heights) * below
    sheet = Pillow.new("RGB", size, "white")
    write(sheet, GAP, GAP, title)
    top = head
    for row, height in zip(fitted, heights, strict=True):
        for column, (label, picture) in enumerate(row):
            left = GAP + column * step
            sheet.paste(picture, (left, top))
            write(sheet, left, top + height + 2, label)
        top += height + below
    return sheet


def _fit(image: Image, cell: int) -> Pillow.Image:
    picture = image.rgb()
    scale = cell / max(picture.size)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))


def write(sheet: Pillow.Image, left: int, top: int, text: str) -> None:
    """Writes lines of text onto a picture; what its font has not, in the one that OpenCV brings along."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for number, line in enumerate(text.split("\n")):
        place = left, top + number * (TEXT + 4)
        if _is_latin(line):
            draw.text(place, line, "black", font)
        elif not _write_any(sheet, *place, line):
            draw.text(place, NO_LETTERS, "black", font)


def _is_latin(text: str) -> bool:
    """Whether Pillow's own font has all its letters."""
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def _write_any(sheet: Pillow.Image, left: int, top: int, line: str) -> bool:
    """Writes a line in any of the letters that OpenCV's font has; False where there is no OpenCV."""
    try:
        import cv2
    except ImportError:
        return False
    pixels = np.array(sheet.crop((left, top, sheet.width, top + 2 * TEXT)))
    cv2.putText(pixels, line, (0, TEXT), (0, 0, 0), cv2.FontFace("uni"), TEXT)
    sheet.paste(Pillow.fromarray(pixels), (left, top))
    return True
