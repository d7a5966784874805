"""Concepts: right about scenes of the pocket world and their parts, and clear about what it cannot read."""

import numpy as np
import pytest

from components.concepts import Concepts
from components.regions import box_of, cut_out
from imagegraph.component import Component, Progress, Weights
from imagegraph.errors import InvalidDocument, InvalidInput
from imagegraph.image import Image
from imagegraph.signature import Signature
from imagegraph.spec.catalogue import Catalogue
from pocket.world import COLOURS, SHAPES, Scene, make_scene

TEXTS = ["a red cube", "a blue sphere", "a person in green"]


@pytest.fixture(scope="module")
def concepts() -> Component:
    catalogue = Catalogue.read()
    component = catalogue.entry("concepts").build("pocket", {})
    component.load(
        Weights({"model": catalogue.entry("concepts").variant("pocket").weights["model"].project_folder})
    )
    return component


def ask(component: Component, **values):
    return component.predict(Progress(), **Signature.of(component).bind(values))


def masks_of(scene: Scene) -> list[Image]:
    return [Image.from_array(np.uint8(255) * (scene.instances == k + 1)) for k in range(len(scene.objects))]


def name(colour: str, shape: str) -> str:
    return f"a person in {colour}" if shape == "person" else f"a{'n' * (colour[0] == 'o')} {colour} {shape}"


def test_of_eight_concepts_that_of_each_object_is_found(concepts):
    random = np.random.default_rng(0)
    everything = [name(colour, shape) for shape in SHAPES for colour in COLOURS]
    right = []
    for seed in range(100):
        scene = make_scene(seed, "seen")
        for mask, thing in zip(masks_of(scene), scene.objects, strict=True):
            own = name(thing.colour, thing.shape)
            others = random.choice([one for one in everything if one != own], 7, replace=False)
            answer = ask(concepts, image=Image.from_array(scene.image), texts=[*others, own], masks=[mask])
            right.append(answer["concepts"][1] == own)
    assert np.mean(right) >= 0.95


def test_a_row_for_the_picture_and_for_each_part_sums_to_one(concepts):
    scene = make_scene(3, "seen", objects=3)
    image = Image.from_array(scene.image)
    answer = ask(concepts, image=image, texts=TEXTS, masks=masks_of(scene), boxes=scene.boxes[:1])
    assert answer["confidence_scores"].shape == (4, 3)
    np.testing.assert_allclose(answer["confidence_scores"].sum(axis=1), 1, rtol=1e-5)
    best = [TEXTS[index] for index in answer["confidence_scores"].argmax(axis=1)]
    assert answer["concepts"] == best
    assert answer["part_concepts"] == best[1:]
    assert answer["part_confidences"] == pytest.approx(answer["confidence_scores"][1:].max(axis=1))
    assert len(ask(concepts, image=image, texts=TEXTS, boxes=scene.boxes)["concepts"]) == 4
    assert ask(concepts, image=image, texts=TEXTS).keys() == {"concepts", "confidence_scores"}


def test_scores_are_those_of_clip_itself(concepts):
    """The softmax of CLIP's own logits, as `transformers` computes them."""
    import torch
    from transformers import CLIPModel, CLIPProcessor

    folder = Catalogue.read().entry("concepts").variant("pocket").weights["model"].project_folder
    image = Image.from_array(make_scene(5, "seen").image)
    inputs = CLIPProcessor.from_pretrained(folder)(
        text=TEXTS, images=image.rgb(), return_tensors="pt", padding=True
    )
    with torch.no_grad():
        expected = CLIPModel.from_pretrained(folder, dtype=torch.float32)(**inputs).logits_per_image.softmax(
            1
        )
    scores = ask(concepts, image=image, texts=TEXTS)["confidence_scores"]
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-4)


def test_parts_score_the_same_whatever_shares_their_batch(concepts):
    scene = make_scene(3, "seen", objects=3)
    image, masks = Image.from_array(scene.image), masks_of(scene) * 12  # more than a batch
    together = ask(concepts, image=image, texts=TEXTS, masks=masks)["confidence_scores"]
    alone = ask(concepts, image=image, texts=TEXTS, masks=masks[:1])["confidence_scores"]
    np.testing.assert_allclose(together[1], alone[1], atol=1e-5)
    np.testing.assert_allclose(together[34], together[1], atol=1e-5)


def test_in_an_empty_mask_all_texts_are_equally_likely(concepts):
    empty = Image.from_array(np.zeros((128, 128), np.uint8))
    image = Image.from_array(make_scene(0, "seen").image)
    scores = ask(concepts, image=image, texts=TEXTS, masks=[empty])["confidence_scores"]
    np.testing.assert_allclose(scores[1], 1 / 3)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"texts": []}, "texts"),
        ({"texts": [""]}, "texts[0]"),
        ({"texts": ["a", "  "]}, "texts[1]"),
        ({"texts": ["a" * 2001]}, "texts[0]"),
        ({"texts": ["a"] * 257}, "texts"),
        ({"boxes": np.array([[0, 0, 129, 10]])}, "boxes[0]"),
        ({"boxes": np.array([[0, 0, 9, 9], [20, 5, 10, 9]])}, "boxes[1]"),
        ({"boxes": np.array([[0, 0, np.nan, 9]])}, "boxes[0]"),
        ({"boxes": np.array([[-1, 0, 9, 9]])}, "boxes[0]"),
        ({"boxes": np.tile([0.0, 0, 9, 9], (257, 1))}, "boxes"),
        ({"boxes": np.zeros((1, 3))}, "boxes"),
        ({"masks": [Image.from_array(np.zeros((64, 128), np.uint8))]}, "masks[0]"),
    ],
)
def test_what_it_cannot_read_is_refused_by_name(concepts, values, field):
    image = Image.from_array(make_scene(0, "seen").image)
    with pytest.raises(InvalidInput) as caught:
        ask(concepts, **{"image": image, "texts": TEXTS, **values})
    assert caught.value.field == field


def test_a_box_outside_is_refused_before_any_node_runs():
    image = Image.from_array(np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(InvalidInput, match=r"boxes\[0\].*0\.\.30"):
        Concepts.check({"image": image, "boxes": np.array([[0, 0, 31, 5]])}, (), set())


@pytest.mark.parametrize("template", ["a photo", "{} and {}"])
def test_a_template_has_one_place_for_the_text(template):
    with pytest.raises(InvalidDocument, match="template"):
        Concepts(template, 0.1, (0, 0, 0))


def test_a_part_is_cut_out_square_with_its_margin_and_nothing_else():
    picture = np.full((40, 60, 3), 200, np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[0:10, 20:40] = True
    part = np.asarray(
        cut_out(Image.from_array(picture).rgb(), box_of(mask), mask, margin=0.25, backdrop=(9, 9, 9))
    )
    assert part.shape == (30, 30, 3)
    expected = np.full((30, 30, 3), 9, np.uint8)
    expected[10:20, 5:25] = 200
    np.testing.assert_array_equal(part, expected)


def test_a_large_part_is_made_smaller():
    picture = Image.from_array(np.full((900, 900, 3), 200, np.uint8)).rgb()
    assert cut_out(picture, (0, 0, 900, 900), None, 0.0, (0, 0, 0)).size == (512, 512)
