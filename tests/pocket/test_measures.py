"""What measures the pocket models, on cases whose answer is known."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from pocket import train_clip, train_pose, train_upscale
from pocket.evaluate.floors import FLOORS, Floor, Score
from pocket.evaluate.report import write_quality
from pocket.photographs import halve
from pocket.pictures import recolour, roughen, to_tensor
from pocket.train_people import average_precision, iou
from pocket.train_vae import edge_f1

BOX = np.array([10.0, 10, 30, 50])


def boxes(*rows) -> np.ndarray:
    return np.array(rows, float).reshape(-1, 4)


def test_iou_of_halves_and_of_strangers():
    assert iou(BOX, boxes(BOX, [10, 10, 30, 30], [40, 40, 50, 50])).tolist() == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("found", "truths", "expected"),
    [
        ([([0.9], [BOX])], [[BOX]], 1.0),
        ([([0.9, 0.8], [BOX, BOX])], [[BOX]], 1.0),  # the second, a repetition, comes too late to harm
        ([([0.9, 0.8], [BOX + 100, BOX])], [[BOX]], 0.5),  # a false alarm comes first
        ([([], []), ([0.9], [BOX])], [[BOX], [BOX]], 0.5),  # one of two is missed
        ([([0.9], [BOX])], [[BOX + 30]], 0.0),
    ],
)
def test_average_precision(found, truths, expected):
    answers = [(np.array(scores), boxes(*rows)) for scores, rows in found]
    assert average_precision(answers, [boxes(*rows) for rows in truths]) == pytest.approx(expected)


def test_key_points_count_within_a_fifth_of_the_torso():
    truth = np.zeros((17, 3))
    truth[12, :2] = 0, 50  # the right hip; the left shoulder stays at the origin
    guess = truth[:, :2].copy()
    guess[0] = 9.9, 0
    guess[1] = 10.1, 0
    assert train_pose.within(guess, truth).tolist() == [True, False] + [True] * 15


def test_heatmaps_peak_at_their_points_and_hidden_ones_are_faint():
    points = torch.zeros(1, 17, 3)
    points[0, :, :2] = torch.tensor([12.0, 20.0])
    points[0, :8, 2] = 1
    maps = train_pose.heatmaps(points)
    assert maps.shape == (1, 17, train_pose.HEIGHT // 2, train_pose.WIDTH // 2)
    assert maps[0, :, 20, 12].tolist() == pytest.approx([1.0] * 8 + [train_pose.HIDDEN_PEAK] * 9)
    assert maps.flatten(2).argmax(2).eq(20 * maps.shape[3] + 12).all()


def test_spoilt_captions_differ_and_keep_the_grammar():
    rng = np.random.default_rng(0)
    for caption in ("a red cube", "an orange cone left of a person in blue", "a person in green"):
        for _ in range(50):
            wrong = train_clip.spoil(caption, rng)
            assert wrong != caption
            assert not re.search(r"\ba orange|\ban (?!orange)", wrong)


def test_edges_one_pixel_aside_agree():
    a, b = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    a[:, 3], b[:, 4] = 255, 255
    assert edge_f1(a, b) == pytest.approx(1.0)
    assert edge_f1(a, np.roll(b, 2, axis=1)) == pytest.approx(0.0)


def test_psnr_of_one_level():
    grey = Image.new("RGB", (32, 32), (100, 100, 100))
    lighter = Image.new("RGB", (32, 32), (101, 101, 101))
    assert train_upscale.psnr(lighter, grey) == pytest.approx(48.13, abs=0.01)


def test_super_resolution_starts_as_interpolation():
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 1, 3))
    image = Image.fromarray(ramp)
    model = train_upscale.make_model().eval()
    double = train_upscale.double(model, train_upscale.Swin2SRImageProcessor(), halve(image))
    inside = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(np.asarray(double)[inside], ramp[inside].astype(int), atol=2)


def test_rough_pictures_are_repeatable_and_stay_in_range():
    images = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), dtype=np.uint8)
    first, again = (
        roughen(to_tensor(recolour(images, rng)), rng) for rng in map(np.random.default_rng, (1, 1))
    )
    assert torch.equal(first, again)
    assert first.shape == (4, 3, 128, 128)
    assert -1 <= first.min() < first.max() <= 1


def test_the_table_has_every_score_and_floor(tmp_path):
    scores = {name: {"seen": Score(0.5, 0.75), "unseen": Score(0.25)} for name in FLOORS}
    write_quality(scores, tmp_path / "QUALITY.md")
    text = (tmp_path / "QUALITY.md").read_text()
    for name, floor in FLOORS.items():
        assert f"| {name} | 0.500 | 0.250 | {floor} | 0.750 |" in text


def test_the_table_keeps_rows_of_what_was_not_measured_again(tmp_path):
    path = tmp_path / "QUALITY.md"
    write_quality({name: {"seen": Score(0.5)} for name in (*FLOORS, "another")}, path)
    before = path.read_text()
    write_quality({"depth: MAE on objects": {"seen": Score(0.25)}}, path, keep=True)
    changed = set(path.read_text().splitlines()) ^ set(before.splitlines())
    assert sorted(changed) == [
        "| depth: MAE on objects | 0.250 |  | ≤ 0.08 |  |",
        "| depth: MAE on objects | 0.500 |  | ≤ 0.08 |  |",
    ]
    assert len(path.read_text().splitlines()) == len(before.splitlines())


def test_floors_know_their_direction():
    assert Floor(0.9).holds(0.91)
    assert not Floor(0.9).holds(0.89)
    assert Floor(0.08, at_most=True).holds(0.07)
    assert not Floor(0.08, at_most=True).holds(0.09)


def test_a_floor_below_its_goal_says_so():
    floor = Floor(0.5, goal=0.7)
    assert str(floor) == "≥ 0.5 (goal ≥ 0.7)"
    assert floor.holds(0.6)
    assert floor.short_of_goal(0.6)
    assert not floor.short_of_goal(0.7)
