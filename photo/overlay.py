"""Draw the truth over its photographs, to be looked at: `python -m photo.overlay FOLDER`."""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from photo.photographs import Photograph, photographs

PERSON, SUBJECT, PERHAPS, LEFT, RIGHT = "red", "yellow", "grey", "cyan", "magenta"


def overlay(photograph: Photograph) -> Image.Image:
    """Return a photograph with outlines, boxes and key points: left ones cyan, right ones magenta."""
    picture = photograph.load()
    canvas = ImageDraw.Draw(picture)
    for colour, outlines in ((PERSON, photograph.person), (SUBJECT, photograph.subject)):
        for outline in outlines:
            canvas.line([*map(tuple, outline), tuple(outline[0])], colour, 3)
    for box in photograph.perhaps:
        canvas.rectangle(box, outline=PERHAPS, width=2)
    for person in photograph.people:
        canvas.rectangle(person.box, outline=PERSON, width=2)
        for name, (x, y) in person.keypoints.items():
            colour = LEFT if name.startswith("left") else RIGHT if name.startswith("right") else "white"
            canvas.ellipse((x - 5, y - 5, x + 5, y + 5), colour, "black")
            canvas.text((x + 6, y - 6), name, colour)
    return picture


def main() -> None:
    """Write one PNG a photograph."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, photograph in photographs().items():
        overlay(photograph).save(folder / f"{name}.png")


if __name__ == "__main__":
    main()
