"""Masks as tensors, on cases whose answer is known."""

import numpy as np
import torch

from components.masks import boxes_around, distinct, grid, stability


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


def test_a_grid_is_in_the_middle_of_its_cells():
    np.testing.assert_allclose(grid(2), [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])
