"""Segment Anything: equal to `transformers`, right about the pocket world, clear about bad prompts."""

import io
import time

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from transformers import SamModel, SamProcessor, pipeline

from components.embed_picture import EmbedPicture
from components.segment import Segment
from imagegraph.component import Component, Progress, Weights
from imagegraph.errors import Cancelled, InvalidInput
from imagegraph.image import Image
from imagegraph.signature import Signature
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.weights import ROOT
from pocket.world import make_scene
from tests.components.bounded import bounded
from tests.polygons import filled

WEIGHTS = ROOT / "pocket/weights/segment"
ENTRY = Catalogue.read().entry("segment").variant("pocket")
SCENE = make_scene(3, "seen", objects=3)
IMAGE = Image.from_array(SCENE.image)
TRUTH = SCENE.instances == np.arange(1, 4)[:, None, None]


@pytest.fixture(scope="module")
def segment() -> Component:
    component = Segment()
    component.load(Weights({"model": WEIGHTS}))
    return component


@pytest.fixture(scope="module")
def embed() -> Component:
    component = EmbedPicture()
    component.load(Weights({"model": WEIGHTS}))
    return component


@pytest.fixture(scope="module")
def embedding(embed: Component):
    return embed.predict(IMAGE)["picture_embedding"]


def ask(component: Component, embedding=None, **values):
    given = {"image": IMAGE, **values}
    if embedding is not None:
        given["picture_embedding"] = embedding
    return component.predict(Progress(), **Signature.of(component).bind(given, ENTRY.defaults))


def pixels(mask: Image) -> np.ndarray:
    return np.asarray(mask.own()) > 0


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / max(1, (one | other).sum())


def middle(mask: np.ndarray) -> list[float]:
    y, x = np.argwhere(mask).mean(axis=0)
    return [float(x), float(y)]


MIDDLES = [middle(mask) for mask in TRUTH]
PROMPTS = {
    "a point each": {"points": [[one] for one in MIDDLES]},
    "points of both kinds": {
        "points": [[MIDDLES[0], MIDDLES[1]], [MIDDLES[1], MIDDLES[2]]],
        "labels": [[1, 0], [1, 1]],
    },
    "boxes": {"boxes": SCENE.boxes.tolist()},
    "boxes and points": {"boxes": SCENE.boxes.tolist(), "points": [[one] for one in MIDDLES]},
}


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("size", [(128, 128), (300, 200), (90, 160)])
def test_masks_equal_those_of_transformers_for_the_same_prompts(segment, name, size):
    """Also of pictures that are no squares, and with other sides than the model's."""
    image = Image(pixels=IMAGE.rgb().resize(size))
    scale = np.array(size) / 128
    given = {
        key: np.array(value) * (1 if key == "labels" else np.tile(scale, 2) if key == "boxes" else scale)
        for key, value in PROMPTS[name].items()
    }
    answer = ask(segment, image=image, answers="all", **given)

    processor = SamProcessor.from_pretrained(WEIGHTS)
    wanted = {f"input_{key}": [value.tolist()] for key, value in given.items()}
    inputs = processor(image.rgb(), return_tensors="pt", **wanted)
    inputs = {key: one.float() if one.is_floating_point() else one for key, one in inputs.items()}
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    with torch.no_grad():
        expected = SamModel.from_pretrained(WEIGHTS, dtype=torch.float32)(**inputs)
    (masks,) = processor.post_process_masks(expected.pred_masks, *sizes)
    masks = masks.flatten(0, 1).numpy()
    if "boxes" in given:
        masks &= np.repeat([bounded(box, size) for box in given["boxes"].tolist()], 3, axis=0)
    assert len(answer["masks"]) == len(masks)
    foreseen = expected.iou_scores.flatten().clamp(0, 1)
    np.testing.assert_allclose(answer["iou_scores"], foreseen, atol=0.02)
    for mask, other in zip(answer["masks"], masks, strict=True):
        assert mask.size == size
        assert iou(pixels(mask), other) >= 0.99 or not (pixels(mask) ^ other).any()


def test_masks_of_a_box_end_where_it_does(segment, embedding):
    left, top, right, bottom = SCENE.boxes[0].tolist()
    half = [left, top, right, (top + bottom) / 2]
    masks = [pixels(mask) for mask in ask(segment, embedding, boxes=[half], answers="all")["masks"]]
    assert any(mask.any() for mask in masks)
    for mask in masks:
        assert not (mask & ~bounded(half, (128, 128))).any()


def test_the_best_of_the_three_masks_is_that_with_the_best_score(segment, embedding):
    every = ask(segment, embedding, answers="all", **PROMPTS["boxes"])
    best = ask(segment, embedding, **PROMPTS["boxes"])
    scores = every["iou_scores"].reshape(-1, 3)
    np.testing.assert_array_equal(best["iou_scores"], scores.max(axis=1))
    for row, mask in enumerate(best["masks"]):
        assert mask == every["masks"][3 * row + scores[row].argmax()]


def test_what_is_said_of_a_mask_is_true_of_it(segment, embedding):
    answer = ask(segment, embedding, answers="all", tolerance=0, **PROMPTS["a point each"])
    outlines = answer["polygons"]["masks"]
    facts = zip(answer["masks"], answer["boxes"], answer["areas"], outlines, strict=True)
    for mask, box, area, polygons in facts:
        own = pixels(mask)
        assert area == own.sum()
        assert box.tolist() == boxed(own)
        np.testing.assert_array_equal(filled(polygons, own.shape), own)


def boxed(mask: np.ndarray) -> list[int]:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return [x, y, x + width, y + height] if mask.any() else [0, 0, 0, 0]


def test_masks_are_png_of_one_bit_a_pixel(segment, embedding):
    (mask, *_) = ask(segment, embedding, **PROMPTS["boxes"])["masks"]
    assert Pillow.open(io.BytesIO(mask.data)).mode == "1"
    assert mask.data[24] == 1  # the header's bit depth
    assert set(np.unique(mask.map())) <= {0.0, 1.0}


def test_a_prompt_is_answered_the_same_whatever_is_asked_beside_it(segment, embedding):
    together = ask(segment, embedding, boxes=np.tile(SCENE.boxes, (50, 1)))
    for row, box in enumerate(SCENE.boxes):
        alone = ask(segment, embedding, boxes=box[None])
        for again in (row, row + 147):
            assert iou(pixels(together["masks"][again]), pixels(alone["masks"][0])) > 0.999


def test_without_an_embedding_the_picture_is_embedded_all_the_same(segment, embedding):
    with_it, without = (ask(segment, one, **PROMPTS["boxes"]) for one in (embedding, None))
    assert with_it["masks"] == without["masks"]


def test_a_click_after_the_first_takes_at_most_30_ms_on_one_core(segment, embedding):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(20):
            start = time.process_time()
            ask(segment, embedding, points=[[MIDDLES[0]]])
            times.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert min(times) <= 0.03


def test_without_prompts_every_object_is_found(segment, embedding):
    answer = ask(segment, embedding)
    masks = [pixels(mask) for mask in answer["masks"]]
    assert all(max(iou(mask, own) for mask in masks) >= 0.75 for own in TRUTH)
    assert (np.diff(answer["iou_scores"]) <= 0).all()


def test_small_objects_are_found_in_enlarged_parts_and_lie_where_they_are(segment):
    """Four scenes side by side: the model sees half of their width and height."""
    scenes = [make_scene(seed, "seen", objects=2) for seed in range(10, 14)]
    rows = [np.hstack([one.image for one in scenes[start : start + 2]]) for start in (0, 2)]
    image = Image.from_array(np.vstack(rows))
    places = [((down, 128 - down), (across, 128 - across)) for down in (0, 128) for across in (0, 128)]
    objects = [
        np.pad(one.instances == number, place)
        for one, place in zip(scenes, places, strict=True)
        for number in (1, 2)
    ]

    def found(layers: int) -> int:
        masks = [pixels(mask) for mask in ask(segment, image=image, crop_layers=layers, grid_side=8)["masks"]]
        return sum(max(iou(mask, own) for mask in masks) >= 0.75 for own in objects)

    assert found(0) <= 3
    assert found(2) >= 7


def test_automatic_masks_are_those_of_the_pipeline_of_transformers(segment, embedding):
    limits = {"least_iou": 0.7, "least_stability": 0.85, "most_overlap": 0.7}
    limits |= {"most_shared": 1.0, "least_part": 0.0, "crop_layers": 0}  # what it has not
    ours = [pixels(mask) for mask in ask(segment, embedding, grid_side=12, **limits)["masks"]]
    generate = pipeline(
        "mask-generation",
        model=SamModel.from_pretrained(WEIGHTS, dtype=torch.float32),
        image_processor=SamProcessor.from_pretrained(WEIGHTS).image_processor,
    )
    theirs = generate(
        IMAGE.rgb(),
        points_per_crop=12,
        pred_iou_thresh=0.7,
        stability_score_thresh=0.85,
        crops_nms_thresh=0.7,
    )["masks"]
    assert theirs
    assert len(ours) == len(theirs)
    for mask in theirs:
        assert max(iou(np.asarray(mask), own) for own in ours) >= 0.99


BOX = [[10.0, 10, 50, 50]]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"boxes": [[10, 10, 129, 50]]}, "boxes[0]"),
        ({"boxes": [*BOX, [50, 10, 10, 50]]}, "boxes[1]"),
        ({"boxes": [[10, 10, 10, 50]]}, "boxes[0]"),
        ({"boxes": [[10, np.nan, 20, 50]]}, "boxes[0]"),
        ({"boxes": np.zeros((0, 4))}, "boxes"),
        ({"boxes": BOX * 257}, "boxes"),
        ({"points": [[[5, 5]]] * 257}, "points"),
        ({"points": [[[5, 5]] * 65]}, "points"),
        ({"points": [[[5, 5], [128.5, 0]]]}, "points[0][1]"),
        ({"points": [[[5, -1]]]}, "points[0][0]"),
        ({"points": [[[5, np.inf]]]}, "points[0][0]"),
        ({"points": [[5, 5]]}, "points"),
        ({"labels": [[1]]}, "points"),
        ({"points": [[[5, 5]]], "labels": [[1, 0]]}, "labels"),
        ({"points": [[[5, 5]]], "labels": [[2]]}, "labels[0][0]"),
        ({"points": [[[5, 5]], [[5, 5]]], "labels": [[1], [-1]]}, "labels[1]"),
        ({"points": [[[5, 5]], [[5, 5]]], "boxes": BOX}, "boxes"),
        ({"picture_embedding": np.zeros(5, np.float16)}, "picture_embedding"),
        ({"tolerance": -1}, "tolerance"),
        ({"tolerance": np.nan}, "tolerance"),
        ({"grid_side": 65}, "grid_side"),
        ({"answers": "worst"}, "answers"),
    ],
)
def test_what_it_cannot_read_is_refused_by_name(segment, values, field):
    given = {name: np.array(one) if isinstance(one, list) else one for name, one in values.items()}
    with pytest.raises(InvalidInput) as caught:
        ask(segment, **given)
    assert caught.value.field == field


def test_prompts_outside_are_refused_before_the_picture_is_embedded():
    with pytest.raises(InvalidInput, match=r"boxes\[0\].*0\.\.128"):
        Segment.check({"image": IMAGE, "boxes": np.array([[0.0, 0, 129, 5]])}, (), set())


def test_a_point_that_is_none_changes_nothing(segment, embedding):
    points = [[MIDDLES[0], [0, 0]], [MIDDLES[1], MIDDLES[2]]]
    padded = ask(segment, embedding, points=np.array(points), labels=np.array([[1, -1], [1, 0]]))
    alone = ask(segment, embedding, points=np.array(points)[:1, :1])
    assert iou(pixels(padded["masks"][0]), pixels(alone["masks"][0])) > 0.9


def test_work_that_nobody_waits_for_stops(segment, embedding):
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        segment.predict(progress, image=IMAGE, picture_embedding=embedding)
