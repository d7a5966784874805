"""Measure styles: what is drawn in them, from words and from a photo, and the answers about them."""

import itertools

import numpy as np
import torch
from numpy.typing import NDArray

from pocket import train_judge, train_style_judge, train_vqa
from pocket.bundle import Picture, draw, processor, reader, redraw
from pocket.evaluate.floors import Score, Scores
from pocket.evaluate.held_out import scenes_of
from pocket.pictures import to_tensor
from pocket.styles import STYLES, in_style
from pocket.train_style_judge import MANNERS
from pocket.world import COLOURS, SHAPES

SCENES = {"seen": 30, "unseen": 15}  # with one object, each drawn in every style
STRENGTH = 0.6  # of drawing a photo anew, as in the catalogue: above it things are lost


def styled(split: str) -> Scores:
    """Draw scenes of one object in every style, from words alone and from their pictures."""
    scenes = scenes_of(split)
    chosen = train_judge.one_object(scenes)[: SCENES[split]]
    asked = list(itertools.product(chosen, STYLES))
    captions = [in_style(scenes.captions[i], style) for i, style in asked]
    photos = scenes.images[[i for i, _ in asked]]
    styles = [MANNERS.index(style) for _, style in asked]
    pairs = [scenes.objects[i][0] for i, _ in asked]
    real = train_style_judge.measure(reader("style-judge"), scenes)
    scores = {}
    drawn = {"words": draw(captions), "photo and words": redraw(photos, captions, STRENGTH)}
    for source, pictures in drawn.items():
        told = _judge(pictures, styles, pairs)
        scores[f"style from {source}: told right"] = Score(told["style"].mean(), real["style"])
        scores[f"style from {source}: colour and shape kept"] = Score(told["object"].mean(), real["object"])
        scores[f"style from {source}: asked one first"] = Score(_first(pictures, styles).mean())
    return scores


@torch.no_grad()
def _judge(
    pictures: Picture, styles: list[int], pairs: list[tuple[str, str]]
) -> dict[str, NDArray[np.bool_]]:
    """Return what the judge of styles finds right in pictures of one object."""
    colours = [list(COLOURS).index(colour) for colour, _ in pairs]
    shapes = [SHAPES.index(shape) for _, shape in pairs]
    truth = (torch.tensor(values) for values in (styles, shapes, colours))
    return train_style_judge.right(reader("style-judge"), to_tensor(pictures), *truth)


def _first(pictures: Picture, styles: list[int]) -> NDArray[np.bool_]:
    """Return for which pictures, asked about every style, the asked one gets the most yes."""
    yes = train_vqa.about_styles(reader("vqa"), processor("vqa").tokenizer, to_tensor(pictures))
    return MANNERS.index(next(iter(STYLES))) + yes.argmax(1) == np.array(styles)


def vqa(split: str) -> Scores:
    """Measure the answers about real scenes."""
    found = train_vqa.measure(reader("vqa"), processor("vqa").tokenizer, scenes_of(split), 300)
    return {f"questions: {name}": Score(value) for name, value in found.items()}
