"""`depth` with the class that the bundles for photographs use; pocket's is another."""

import numpy as np
import pytest
import torch
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

from components.depth import Depth
from imagegraph.component import Weights
from imagegraph.image import Image


@pytest.fixture(scope="module")
def depth(tmp_path_factory: pytest.TempPathFactory) -> Depth:
    folder = tmp_path_factory.mktemp("depth-anything")
    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=24, neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8, head_hidden_size=8,
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    DPTImageProcessor(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    ).save_pretrained(folder)
    component = Depth(size=64)
    component.load(Weights({"model": folder}))
    return component


@pytest.mark.parametrize(("size", "expected"), [((64, 64), (64, 64)), ((300, 150), (128, 64))])
def test_a_map_has_the_generators_size_and_the_full_range(
    depth: Depth, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    answer = depth.predict(Image.from_array(pixels))["depth"]
    assert answer.size == expected
    assert (answer.map().min(), answer.map().max()) == (0.0, 1.0)
