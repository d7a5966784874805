"""Draws what the bundle `photo` reads: `python -m photo.read_sheet` writes docs/photo.jpg."""

from PIL import Image

from imagegraph.spec.catalogue import ROOT
from photo.evaluate import Readers, Tally, draw, look
from photo.photographs import photographs

SHOWN = ("astronaut", "camera", "chelsea", "flower", "coffee", "china")
HEIGHT = 220  # px of a row
WIDTH = 780  # px of a column


def main() -> None:
    """Read, draw two columns."""
    readers, known = Readers(), photographs()
    rows = []
    for name in SHOWN:
        row = draw(known[name], *look(known[name], readers, Tally()))
        row.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        rows.append(row)
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    sheet = Image.new("RGB", (2 * WIDTH, sum(max(one.height for one in pair) + 8 for pair in pairs)), "white")
    top = 0
    for pair in pairs:
        for column, row in enumerate(pair):
            sheet.paste(row, (column * WIDTH, top))
        top += max(row.height for row in pair) + 8
    sheet.save(ROOT / "docs" / "photo.jpg", quality=85)


if __name__ == "__main__":
    main()
