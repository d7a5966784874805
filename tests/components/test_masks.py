"""Masks as tensors, on cases whose answer is known."""

import numpy as np
import torch

from components.masks import boxes_around, outline, stability, within
from tests.polygons import filled


def test_a_box_is_as_large_as_its_mask():
    masks = torch.zeros(3, 10, 12, dtype=torch.bool)
    masks[0, 2:5, 3:9] = True
    masks[1, 9, 11] = True
    assert boxes_around(masks).tolist() == [[3, 2, 9, 5], [11, 9, 12, 10], [0, 0, 0, 0]]


def test_a_mask_is_stable_whose_logits_are_far_from_the_threshold():
    sure, unsure = torch.full((1, 4, 4), 9.0), torch.full((1, 4, 4), 0.5)
    half = torch.cat([sure[:, :2], unsure[:, :2]], dim=1)
    assert stability(torch.cat([sure, half, unsure])).tolist() == [1.0, 0.5, 0.0]


def test_what_lies_outside_a_box_grown_by_a_twentieth_is_cut_off():
    masks = torch.ones(2, 3, 20, 30, dtype=torch.bool)
    boxes = torch.tensor([[2.0, 2, 22, 12], [0, 0, 30, 20]])[:, None]
    kept = boxes_around(within(masks, boxes))
    assert kept[0].tolist() == [[1, 1, 23, 13]] * 3
    assert kept[1].tolist() == [[0, 0, 30, 20]] * 3


def test_an_outline_keeps_parts_and_holes():
    mask = np.zeros((40, 50), bool)
    mask[5:25, 5:30] = True
    mask[10:20, 10:20] = False
    mask[30:38, 40:48] = True
    polygons = outline(mask, 0)
    assert sorted(len(rings) for rings in polygons) == [1, 2]
    np.testing.assert_array_equal(filled(polygons, mask.shape), mask)


def test_a_tolerant_outline_has_fewer_points_and_strays_no_further():
    y, x = np.mgrid[:100, :100]
    disc = (x - 50) ** 2 + (y - 50) ** 2 < 40**2
    ((exact,),), ((simple,),) = outline(disc, 0), outline(disc, 2)
    assert len(simple) < len(exact) / 3
    away = np.hypot(*(np.argwhere(filled([[simple]], disc.shape) ^ disc).T - 50)) - 40
    assert np.abs(away).max() <= 3


def test_an_empty_mask_has_no_outline():
    assert outline(np.zeros((5, 5), bool), 1) == []
