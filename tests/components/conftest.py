"""Tiny Stable Diffusion bases with random weights: quick to make, and as sensitive as trained ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    DiffusionPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from imagegraph.image import Image

SIDE = 64
ROLES = ("depth", "pose", "segmentation", "edges")


def tokenizer(folder: Path) -> CLIPTokenizer:
    """A tokenizer of single letters, which reads any text."""
    letters = [chr(code) for code in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def text_config(words: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=0,
        eos_token_id=1,
        projection_dim=16,
    )


def parts(words: CLIPTokenizer, unet_settings: dict[str, Any]) -> dict[str, Any]:
    """What the pipelines of Stable Diffusion 1.5 and XL have in common."""
    unet = UNet2DConditionModel(
        sample_size=SIDE // 8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=8,
        **unet_settings,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
    )
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)
    text = CLIPTextModel(text_config(words))
    return {"vae": vae, "text_encoder": text, "tokenizer": words, "unet": unet, "scheduler": scheduler}


def save(root: Path, pipeline: DiffusionPipeline) -> dict[str, Path]:
    """Saves a base with a ControlNet for every role that really steers."""
    pipeline.save_pretrained(root / "base")
    for role in ROLES:
        net = ControlNetModel.from_unet(pipeline.unet, conditioning_channels=3)
        # As made, the last convolutions are zero and steer nothing.
        last = (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out)
        for one in last:
            torch.nn.init.normal_(one.weight, std=0.2)
        net.save_pretrained(root / role)
    return {"base": root / "base", **{role: root / role for role in ROLES}}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a base like Stable Diffusion 1.5 and four ControlNets, by role."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("sd")
    common = parts(tokenizer(root / "words"), {"cross_attention_dim": 16})
    extra = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return save(root, StableDiffusionPipeline(**common, **extra))


@pytest.fixture(scope="session")
def xl_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a base like Stable Diffusion XL and four ControlNets, by role."""
    torch.manual_seed(1)
    root = tmp_path_factory.mktemp("sdxl")
    words = tokenizer(root / "words")
    added = {
        "cross_attention_dim": 32,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 16 + 6 * 8,
    }
    second = CLIPTextModelWithProjection(text_config(words))
    pipeline = StableDiffusionXLPipeline(**parts(words, added), text_encoder_2=second, tokenizer_2=words)
    return save(root, pipeline)


@pytest.fixture(scope="session")
def controls() -> dict[str, Image]:
    """One random map a role."""
    random = np.random.default_rng(1)
    return {role: Image.from_array(random.integers(0, 255, (SIDE, SIDE, 3), np.uint8)) for role in ROLES}
