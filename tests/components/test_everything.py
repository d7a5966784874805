"""Masks that nobody points at, on cases whose answer is known."""

import numpy as np
import pytest
import torch

from components.everything import Limits, Part, View, distinct, everything, grid, parts
from components.masks import boxes_around


def whole(decode, points: torch.Tensor, side: int = 40) -> list[View]:
    """Returns the one view of a picture that is seen as it is."""
    return [View(Part(0, 0, side, side), (1.0, 1.0), decode, points)]


def test_of_overlapping_boxes_the_better_is_kept():
    boxes = torch.tensor([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]])
    assert distinct(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.7).tolist() == [1, 2]


def test_a_grid_is_in_the_middle_of_its_cells():
    np.testing.assert_allclose(grid(2), [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])


def test_of_a_grid_of_points_only_good_and_distinct_masks_are_kept():
    def decode(points):
        logits = torch.full((len(points), 2, 8, 8), -9.0)
        logits[:, 0, 2:6, 2:6] = 9  # the same for every point
        logits[:, 1, :, :4] = 0.5  # in doubt
        return logits, torch.tensor([[0.9, 0.9]]).repeat(len(points), 1) - points[:, :1] / 10

    points = torch.from_numpy(grid(9))
    logits, scores, _ = everything(whole(decode, points), Limits(iou=0.5, stability=0.9, overlap=0.7))
    assert len(logits) == 1
    assert scores[0] == 0.9 - points[:, 0].min() / 10
    logits, _, _ = everything(whole(decode, points), Limits(iou=0.95, stability=0.9, overlap=0.7))
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
    kept, scores, _ = everything(whole(decode, torch.zeros(1, 2)), limits)
    torch.testing.assert_close(scores, torch.tensor([0.9, 0.7, 0.6]))
    assert boxes_around(kept > 0).tolist() == [[2, 2, 20, 20], [2, 12, 20, 20], [0, 0, 0, 0]]
    apart = limits.__class__(0.5, 0.0, 0.7)
    assert len(everything(whole(decode, torch.zeros(1, 2)), apart).scores) == 4, "a speck stretches the box"


@pytest.mark.parametrize("size", [(128, 128), (300, 200), (1, 1), (1, 50), (2, 3)])
def test_parts_cover_the_picture_and_overlap(size):
    found = list(parts(size, 2))
    assert found[0] == (0, Part(0, 0, *size))
    for layer in (1, 2):
        covered = np.zeros(size[::-1], int)
        for _, part in (one for one in found if one[0] == layer):
            left, top, right, bottom = part
            assert 0 <= left < right <= size[0]
            assert 0 <= top < bottom <= size[1]
            covered[top:bottom, left:right] += 1
        assert covered.min() == 1
        assert covered.max() == 4 or min(size) < 3
    assert len(found) == 1 + 4 + 16 or min(size) < 4


def test_a_part_shows_what_the_whole_is_too_coarse_for_but_nothing_that_it_cuts():
    """The model sees 20 x 20 of a picture of 40 x 40, and 10 x 10 enlarged twice of each part."""
    picture = torch.zeros(40, 40, dtype=torch.bool)
    picture[2:5, 3:6] = True  # a small thing, in the first part alone
    picture[15:39, 30:34] = True  # one that the parts cut

    def seen(part: Part, logits: torch.Tensor) -> View:
        return View(part, (1.0, 1.0), lambda points: (logits[None], torch.tensor([[0.9]])), torch.zeros(1, 2))

    def of(part: Part) -> torch.Tensor:
        own = picture[part.top : part.bottom, part.left : part.right][None, None].float()
        return torch.nn.functional.interpolate(own, (20, 20), mode="area")[0] * 18 - 9

    large = torch.full((1, 20, 20), -9.0)
    large[0, 7:20, 15:17] = 9
    corner, middle = Part(0, 0, 20, 20), Part(20, 10, 40, 30)
    views = [seen(Part(0, 0, 40, 40), large), seen(corner, of(corner)), seen(middle, of(middle))]
    found = everything(views, Limits(iou=0.5, stability=0.0, overlap=1.0, shared=0.8))
    assert found.parts == [Part(0, 0, 40, 40), corner]
    assert boxes_around(found.logits > 0).tolist()[1] == [3, 2, 6, 5]
