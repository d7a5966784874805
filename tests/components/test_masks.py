"""Masks as tensors, on cases whose answer is known."""

import numpy as np
import torch

from components.masks import Limits, boxes_around, distinct, everything, grid, outline, stability, within
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


def test_of_overlapping_boxes_the_better_is_kept():
    boxes = torch.tensor([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]])
    assert distinct(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.7).tolist() == [1, 2]


def test_what_lies_outside_a_box_grown_by_a_twentieth_is_cut_off():
    masks = torch.ones(2, 3, 20, 30, dtype=torch.bool)
    boxes = torch.tensor([[2.0, 2, 22, 12], [0, 0, 30, 20]])[:, None]
    kept = boxes_around(within(masks, boxes))
    assert kept[0].tolist() == [[1, 1, 23, 13]] * 3
    assert kept[1].tolist() == [[0, 0, 30, 20]] * 3


def test_a_grid_is_in_the_middle_of_its_cells():
    np.testing.assert_allclose(grid(2), [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])


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


def test_of_a_grid_of_points_only_good_and_distinct_masks_are_kept():
    def decode(points):
        logits = torch.full((len(points), 2, 8, 8), -9.0)
        logits[:, 0, 2:6, 2:6] = 9  # the same for every point
        logits[:, 1, :, :4] = 0.5  # in doubt
        return logits, torch.tensor([[0.9, 0.9]]).repeat(len(points), 1) - points[:, :1] / 10

    points = torch.from_numpy(grid(9))
    logits, scores = everything(decode, points, Limits(iou=0.5, stability=0.9, overlap=0.7))
    assert len(logits) == 1
    assert scores[0] == 0.9 - points[:, 0].min() / 10
    logits, _ = everything(decode, points, Limits(iou=0.95, stability=0.9, overlap=0.7))
    assert logits.shape == (0, 8, 8)


def test_what_is_cut_out_twice_is_kept_once_and_specks_do_not_make_another_of_it():
    logits = torch.full((4, 40, 40), -9.0)
    logits[:, 2:20, 2:20] = 9
    logits[1, 35, 35] = 9  # a speck
    logits[2, 2:12] = -9  # its half
    logits[3] = -9  # nothing

    def decode(points):
        return logits[None], torch.tensor([[0.9, 0.8, 0.7, 0.6]])

    limits = Limits(iou=0.5, stability=0.0, overlap=1.0, shared=0.8, part=0.02)
    kept, scores = everything(decode, torch.zeros(1, 2), limits)
    torch.testing.assert_close(scores, torch.tensor([0.9, 0.7, 0.6]))
    assert boxes_around(kept > 0).tolist() == [[2, 2, 20, 20], [2, 12, 20, 20], [0, 0, 0, 0]]
    apart = limits.__class__(0.5, 0.0, 0.7)
    assert len(everything(decode, torch.zeros(1, 2), apart)[1]) == 4, "a speck stretches the box"
