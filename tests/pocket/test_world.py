"""The pocket world: what a scene says of itself is true."""

import re

import cv2
import numpy as np
import pytest

from pocket.world import CLASSES, COLOURS, SHAPES, SIZE, SPLITS, UNSEEN, Scene, make_scene

SEEDS = range(60)
NAME = rf"(?:an? ({'|'.join(COLOURS)}) ({'|'.join(SHAPES[:-1])})|a (person) in ({'|'.join(COLOURS)}))"
RELATION = r"left of|right of|in front of|behind"


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[Scene]]:
    return {split: [make_scene(seed, split) for seed in SEEDS] for split in SPLITS}


@pytest.fixture(scope="module")
def all_scenes(scenes) -> list[Scene]:
    return [scene for split in scenes.values() for scene in split]


def test_a_seed_always_draws_the_same_scene(scenes):
    again = make_scene(7, "seen")
    before = scenes["seen"][7]
    assert again.caption == before.caption
    for field in ("image", "depth", "normals", "segmentation", "instances", "boxes", "keypoints", "edges"):
        np.testing.assert_array_equal(getattr(again, field), getattr(before, field))


def test_the_number_of_objects_can_be_asked_for():
    assert [len(make_scene(3, objects=n).objects) for n in (1, 2, 3)] == [1, 2, 3]


def test_splits_share_no_scene(all_scenes):
    assert len({scene.image.tobytes() for scene in all_scenes}) == len(all_scenes)


def test_unseen_pairs_are_in_the_unseen_split_alone(scenes):
    for split, drawn in scenes.items():
        for scene in drawn:
            held_out = UNSEEN & {(obj.colour, obj.shape) for obj in scene.objects}
            assert bool(held_out) == (split == "unseen"), scene.caption


def test_fields_have_their_shapes_and_ranges(all_scenes):
    for scene in all_scenes:
        people = sum(obj.shape == "person" for obj in scene.objects)
        assert scene.image.shape == (SIZE, SIZE, 3)
        assert scene.image.dtype == scene.segmentation.dtype == scene.instances.dtype == np.uint8
        assert scene.depth.dtype == np.float32
        assert 0 <= scene.depth.min() < scene.depth.max() <= 1
        assert scene.boxes.shape == (len(scene.objects), 4)
        assert scene.keypoints.shape == (people, 17, 3)
        assert set(np.unique(scene.keypoints[..., 2])) <= {0.0, 1.0}


def test_boxes_lie_tight_around_what_is_visible(all_scenes):
    for scene in all_scenes:
        for i, box in enumerate(scene.boxes):
            y, x = np.nonzero(scene.instances == i + 1)
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_segmentation_and_instances_agree(all_scenes):
    for scene in all_scenes:
        for i, obj in enumerate(scene.objects):
            classes = np.unique(scene.segmentation[scene.instances == i + 1])
            assert classes.tolist() == [CLASSES.index(obj.shape)]
        assert set(np.unique(scene.segmentation[scene.instances == 0])) <= {0, 1}


def test_the_floor_comes_nearer_downwards(all_scenes):
    for scene in all_scenes:
        floor = scene.segmentation == CLASSES.index("floor")
        both = floor[1:] & floor[:-1]
        assert (np.diff(scene.depth, axis=0)[both] >= 0).all()


def test_the_nearer_of_two_objects_is_nearer_in_depth(all_scenes):
    compared = 0
    for scene in all_scenes:
        near = [np.median(scene.depth[scene.instances == i + 1]) for i in range(len(scene.objects))]
        for i, a in enumerate(scene.objects):
            for j, b in enumerate(scene.objects):
                if b.position[1] - a.position[1] > 1.2:  # more than their sizes can make up for
                    assert near[i] > near[j]
                    compared += 1
    assert compared > 20


def test_visible_key_points_lie_on_their_person_and_hidden_ones_on_another(all_scenes):
    near = np.ones((5, 5), np.uint8)
    for scene in all_scenes:
        owners = [i + 1 for i, obj in enumerate(scene.objects) if obj.shape == "person"]
        for owner, points in zip(owners, scene.keypoints, strict=True):
            own = cv2.dilate((scene.instances == owner).astype(np.uint8), near)
            for x, y, visible in points:
                column, row = round(float(x)), round(float(y))
                if visible:
                    assert own[row, column]
                elif 0 <= column < SIZE and 0 <= row < SIZE:
                    assert scene.instances[row, column] not in (0, owner)


def test_captions_are_true(all_scenes):
    for scene in all_scenes:
        names = re.findall(NAME, scene.caption)
        pairs = [(colour, shape) if shape else (worn, person) for colour, shape, person, worn in names]
        assert pairs == [(obj.colour, obj.shape) for obj in scene.objects]
        relations = re.findall(RELATION, scene.caption)
        assert len(relations) == len(scene.objects) - 1
        first = scene.objects[0]
        for relation, other in zip(relations, scene.objects[1:], strict=True):
            (x0, z0), (x1, z1) = first.position, other.position
            truth = {
                "left of": x0 / z0 < x1 / z1,
                "right of": x0 / z0 > x1 / z1,
                "in front of": z0 < z1,
                "behind": z0 > z1,
            }
            assert truth[relation], scene.caption


def test_captions_follow_the_grammar(all_scenes):
    plain = re.compile(rf"{NAME}(?: (?:{RELATION}) {NAME}(?: and (?:{RELATION}) {NAME})?)?")
    for scene in all_scenes:
        assert plain.fullmatch(scene.caption), scene.caption
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", scene.caption), scene.caption


def test_equal_objects_come_in_one_order(all_scenes):
    order = [(colour, shape) for shape in SHAPES for colour in COLOURS]
    for scene in all_scenes:
        places = [order.index((obj.colour, obj.shape)) for obj in scene.objects]
        assert places == sorted(places)


def test_edges_are_those_of_canny(all_scenes):
    for scene in all_scenes[::10]:
        np.testing.assert_array_equal(scene.edges, cv2.Canny(scene.image, 100, 200))


def test_normals_are_unit_vectors_that_face_the_camera(all_scenes):
    for scene in all_scenes[:20]:
        vectors = scene.normals / 127.5 - 1
        assert np.abs(np.linalg.norm(vectors, axis=2) - 1).max() < 0.02
        towards = vectors[..., 2]
        assert (towards > -0.02).mean() > 0.99
        wall, floor = (scene.segmentation == CLASSES.index(name) for name in ("wall", "floor"))
        assert (vectors[wall][:, 2] > 0.9).all()
        assert (vectors[floor][:, 1] > 0.9).all()


@pytest.mark.parametrize(
    ("split", "caption", "boxes"),
    [
        ("train", "a person in red", [[64, 23, 95, 83]]),
        ("validation", "an orange cylinder", [[48, 43, 85, 89]]),
        (
            "seen",
            "a yellow cube right of a cyan cylinder and in front of a person in blue",
            [[37, 50, 102, 113], [7, 53, 38, 96], [45, 25, 68, 53]],
        ),
        ("unseen", "a cyan cube", [[74, 46, 128, 99]]),
    ],
)
def test_scenes_stay_those_that_the_committed_weights_were_measured_on(split, caption, boxes):
    scene = make_scene(5, split)
    assert scene.caption == caption
    assert scene.boxes.tolist() == boxes
