"""A tiny graph for reports: it paints a grey per style, and is the surer of it the brighter the photo is."""

from typing import Literal, TypedDict

import numpy as np

from imagegraph.component import Component
from imagegraph.errors import InvalidInput
from imagegraph.image import Image

CATALOGUE = """
base: none
entries:
  grey: {component: tests.style_report.tiny_styles:Grey, summary: Greys, bundles: {pocket: {}}}
  plain: {component: components.best:Best, summary: Says nothing of styles, bundles: {pocket: {}}}
"""
STYLES = ("dark", "light")


class Greyed(TypedDict):
    pictures: list[Image]
    prompts: list[str]
    seeds: list[int]
    questions: list[str]
    style_names: list[str]
    in_style: list[str]
    style_answers: list[int]
    style_confidences: list[float]
    order: list[int]


class Grey(Component):
    def predict(
        self, image: Image, architecture: Literal["words", "photo-and-words"] = "words", level: int = 0
    ) -> Greyed:
        light = int(np.asarray(image.rgb())[0, 0, 0])
        if light == 255:
            raise InvalidInput("image", "something darker", light)
        chances = [min(1.0, light / 250 + 0.2 * (architecture != "words")), 0.5]
        return {
            "pictures": [Image.from_array(np.full((16, 16, 3), tone + level, np.uint8)) for tone in (9, 99)],
            "prompts": [f"grey, {style}" for style in STYLES],
            "seeds": [0, 1],
            "questions": [f"is it {style}?" for style in STYLES],
            "style_names": list(STYLES),
            "in_style": list(STYLES),
            "style_answers": [int(chance > 0.5) for chance in chances],
            "style_confidences": chances,
            "order": [1, 0],
        }
