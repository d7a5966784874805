"""The styles of the pocket world: what a painting keeps of its scene, and how captions name it."""

import cv2
import numpy as np
import pytest

from pocket.styles import CHALK, COLOURLESS, INK, RED, STYLES, in_style, paint
from pocket.tokenizer import LENGTH, make_tokenizer
from pocket.world import COLOURS, SIZE, make_scene

SEEDS = range(12)
COLOURED = [style for style in STYLES if style not in COLOURLESS]


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(seed) for seed in SEEDS]


@pytest.mark.parametrize("style", STYLES)
def test_a_scene_is_always_painted_alike(style, scenes):
    first, again = (paint(scenes[0], style) for _ in range(2))
    assert first.shape == (SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, paint(scenes[1], style))


@pytest.mark.parametrize("style", COLOURED)
def test_things_keep_their_colour_where_the_style_has_colours(style, scenes):
    names, tints = list(COLOURS), np.array(list(COLOURS.values()), np.float32)
    hues = cv2.cvtColor(tints[None] / 255, cv2.COLOR_RGB2HSV)[0, :, 0]
    right = []
    for scene in scenes:
        painting = paint(scene, style).astype(np.float32) / 255
        hue, saturation, value = np.moveaxis(cv2.cvtColor(painting, cv2.COLOR_RGB2HSV), 2, 0)
        for i, obj in enumerate(scene.objects):
            mask = cv2.erode((scene.instances == i + 1).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            own = hue[mask & (saturation > 0.2) & (value > 0.25)]
            away = np.abs((own[:, None] - hues + 180) % 360 - 180)
            right.append(names[np.bincount(away.argmin(1), minlength=len(names)).argmax()] == obj.colour)
    assert np.mean(right) >= 0.9


def test_stencils_have_black_white_and_one_red(scenes):
    ends = [(CHALK, INK), (CHALK, RED), (INK, RED)]  # soft edges lie between two of them
    for scene in scenes:
        pixels = paint(scene, "Banksy").reshape(-1, 3).astype(np.float32)
        distances = []
        for a, b in ends:
            along = np.clip((pixels - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
            distances.append(np.linalg.norm(pixels - a - along[:, None] * (b - a), axis=1))
        assert (np.min(distances, axis=0) < 25).mean() > 0.995
        assert (np.linalg.norm(pixels - RED, axis=1) < 40).any()


def test_flat_figures_float_on_white(scenes):
    for scene in scenes:
        painting = paint(scene, "Kazimir Malevich")
        levels, counts = np.unique(painting.reshape(-1, 3), axis=0, return_counts=True)
        assert levels[counts.argmax()].min() > 230
        assert np.sort(counts)[::-1][:16].sum() > 0.85 * SIZE * SIZE


def test_the_tokenizer_has_a_token_for_every_word_of_a_style_and_room_for_the_longest_caption():
    tokenizer = make_tokenizer()
    longest = "a person in orange in front of a cyan cylinder and in front of a person in purple"
    for style in STYLES:
        caption = in_style(longest, style)
        tokens = tokenizer(caption).input_ids
        assert len(tokens) == len(caption.replace(",", " ,").split()) + 2
        assert len(tokens) <= LENGTH
