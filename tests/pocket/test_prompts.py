"""The prompts that pocket's Segment Anything is trained with: what they point at is what is meant."""

import numpy as np
import pytest
import torch

from components.masks import boxes_around
from pocket.measure_segment import iou, middle
from pocket.prompts import JITTER, PADDING, ask


@pytest.fixture(scope="module")
def prompts():
    maps = torch.zeros(8, 128, 128, dtype=torch.uint8)
    maps[:, 64:] = 1
    maps[:, 30:60, 20:50] = 2
    maps[:4, 70:100, 80:110] = 3
    return maps, ask(maps, 16, 4, torch.Generator().manual_seed(0))


def test_every_prompt_means_something_of_its_picture(prompts):
    maps, asked = prompts
    for picture, meant in zip(maps, asked.meant, strict=True):
        for mask in meant:
            inside, outside = (set(picture[part].unique().tolist()) for part in (mask, ~mask))
            assert inside
            assert inside.isdisjoint(outside)
            assert inside <= {2, 3, 4} or len(inside) == 1


def test_a_positive_point_is_in_what_is_meant_and_a_negative_one_is_not(prompts):
    _, asked = prompts
    assert (asked.labels[..., 0] == 1).all()
    assert set(asked.labels.unique().tolist()) == {0, 1, PADDING}
    x, y = asked.points.long().unbind(-1)
    for index in np.argwhere(asked.labels.numpy() != PADDING):
        picture, prompt, point = index
        within = asked.meant[picture, prompt, y[*index], x[*index]].item()
        assert within == (asked.labels[picture, prompt, point] == 1)
        assert asked.under[picture, prompt, y[picture, prompt, 0], x[picture, prompt, 0]]


def test_boxes_are_those_of_what_is_meant_but_for_an_unsteady_hand(prompts):
    _, asked = prompts
    assert (asked.boxes - boxes_around(asked.meant)).abs().max() <= JITTER


def test_equal_generators_give_equal_prompts(prompts):
    maps, asked = prompts
    again = ask(maps, 16, 4, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(asked, again, strict=True))


def test_the_middle_of_a_mask_is_farthest_from_its_outline():
    mask = np.zeros((20, 30), bool)
    mask[6:15, 0:9] = True
    assert middle(mask) == (4, 10)


def test_iou_of_halves_and_of_nothing():
    a = torch.zeros(4, 4, dtype=torch.bool)
    a[:2] = True
    assert iou(a, torch.ones_like(a)).item() == 0.5
    assert iou(~a & a, ~a & a).item() == 0.0
