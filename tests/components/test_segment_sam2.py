"""Segment Anything 2.1 equals `transformers`, with a small network of random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    Sam2Config,
    Sam2HieraDetConfig,
    Sam2ImageProcessor,
    Sam2MaskDecoderConfig,
    Sam2Model,
    Sam2Processor,
    Sam2PromptEncoderConfig,
    Sam2VisionConfig,
)

from components.segment_sam2 import EmbedPicture2, Segment2
from imagegraph.component import Progress, Weights
from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.signature import Signature
from tests.components.bounded import bounded

SIDE, WIDTH = 64, 32
SIZE = (90, 60)
IMAGE = Image.from_array(np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8))
PROMPTS = {
    "points": {"points": [[[20.0, 30], [70, 10]], [[5, 5], [40, 40]]], "labels": [[1, 0], [1, 1]]},
    "boxes": {"boxes": [[10.0, 10, 60, 50], [0, 0, 90, 60]]},
    "both": {"boxes": [[10.0, 10, 60, 50]], "points": [[[20.0, 30]]]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    backbone = Sam2HieraDetConfig(
        hidden_size=16,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 4, 4, 2],
        window_positional_embedding_background_size=[4, 4],
        global_attention_blocks=[3],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=WIDTH,
    )
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config=Sam2PromptEncoderConfig(hidden_size=WIDTH, image_size=SIDE),
        mask_decoder_config=Sam2MaskDecoderConfig(
            hidden_size=WIDTH, mlp_dim=2 * WIDTH, num_attention_heads=4, iou_head_hidden_dim=WIDTH
        ),
        initializer_range=0.2,
    )
    path = tmp_path_factory.mktemp("sam2")
    Sam2Model(config).save_pretrained(path)
    size = {"height": SIDE, "width": SIDE}
    Sam2Processor(Sam2ImageProcessor(size=size), target_size=SIDE).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def segment(folder: Path) -> Segment2:
    component = Segment2()
    component.load(Weights({"model": folder}))
    return component


def ask(segment: Segment2, **values):
    return segment.predict(Progress(), **Signature.of(segment).bind({"image": IMAGE, **values}))


@pytest.mark.parametrize("name", PROMPTS)
def test_masks_equal_those_of_transformers_for_the_same_prompts(folder: Path, segment: Segment2, name: str):
    embed = EmbedPicture2()
    embed.load(Weights({"model": folder}))
    given = {key: np.array(value) for key, value in PROMPTS[name].items()}
    answer = ask(segment, **embed.predict(IMAGE), answers="all", **given)

    processor = Sam2Processor.from_pretrained(folder)
    wanted = {f"input_{key}": [value] for key, value in PROMPTS[name].items()}
    if name == "both":
        wanted["input_labels"] = [[[1]]]
    inputs = processor(IMAGE.rgb(), return_tensors="pt", **wanted)
    sizes = inputs.pop("original_sizes")
    with torch.no_grad():
        expected = Sam2Model.from_pretrained(folder, dtype=torch.float32)(**inputs)
    (masks,) = processor.post_process_masks(expected.pred_masks, sizes)
    masks = masks.flatten(0, 1).numpy()
    assert 0 < masks.mean() < 1
    if "boxes" in given:
        masks &= np.repeat([bounded(box, SIZE) for box in given["boxes"].tolist()], 3, axis=0)
    np.testing.assert_allclose(answer["iou_scores"], expected.iou_scores.flatten().clamp(0, 1), atol=0.02)
    for mask, other in zip(answer["masks"], masks, strict=True):
        own = np.asarray(mask.own()) > 0
        assert mask.size == SIZE
        assert (own & other).sum() >= 0.99 * (own | other).sum()


def test_without_prompts_masks_come_best_first(segment: Segment2):
    answer = ask(segment, grid_side=4, least_iou=0.0, least_stability=0.0, most_overlap=1.0)
    assert (np.diff(answer["iou_scores"]) <= 0).all()


def test_an_embedding_of_another_model_is_refused(segment: Segment2):
    with pytest.raises(InvalidInput, match="picture_embedding: expected the 2048 numbers"):
        ask(segment, picture_embedding=np.zeros(7, np.float16))
