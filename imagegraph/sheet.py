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
    rows = [row for row in rows if row]
    head, step, row_step = TEXT + 2 * GAP, cell + GAP, cell + 4 * TEXT
    sheet = Pillow.new("RGB", (GAP + max(map(len, rows)) * step, head + len(rows) * row_step), "white")
    write(sheet, GAP, GAP, title)
    for line, row in enumerate(rows):
        for column, (label, image) in enumerate(row):
            left, top = GAP + column * step, head + line * row_step
            picture = image.rgb()
            scale = cell / max(picture.size)
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            sheet.paste(picture.resize(size), (left, top))
            write(sheet, left, top + cell + 2, label)
    return sheet


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
