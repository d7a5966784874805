"""`make picture`: what `make run` shows, as the first picture of the README."""

import os
import textwrap
from pathlib import Path

import imagegraph
from imagegraph.run.sheet import contact_sheet
from pocket.examples.reimagine import BUNDLES, EXAMPLES

PICTURE = Path("docs/reimagine.png")
BEST = 2  # pictures of each, beside the one that is steered by all priors
CELL = 192  # px
LETTERS = 26  # in a line below a cell
STYLE = "swirls"
TITLE = "what is read out of a scene and of a photograph, and pictures made of it"


def row(picture: Path, bundle: str) -> list[tuple[str, imagegraph.Image]]:
    """Returns a picture, its priors, the best pictures drawn from them, and it as a painting, with words."""
    with imagegraph.load("reimagine", bundle=bundle) as reimagine:
        answer = reimagine(picture)
    with imagegraph.load("restyle", bundle=bundle) as restyle:
        painted = restyle(picture, style_names=[STYLE]).best.value
    maps = [(name, value) for name, value in answer.priors.items() if isinstance(value, imagegraph.Image)]
    drawn = [one for one in answer.pictures if one.steered_by != "combined"][:BEST]
    drawn += [one for one in answer.pictures if one.steered_by == "combined"]
    source = textwrap.fill(answer.caption, LETTERS), imagegraph.Image(picture.read_bytes())
    words = (f"drawn from {one.steered_by.replace('combined', 'all')}" for one in drawn)
    pictures = [*zip(words, (one.value for one in drawn), strict=True), (f"painted in {STYLE}", painted)]
    return [source, *maps, *pictures]


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    rows = [row(EXAMPLES / name, bundle) for name, bundle in BUNDLES.items()]
    contact_sheet(TITLE, rows, CELL).save(PICTURE, optimize=True)
