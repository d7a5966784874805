"""The committed weights: complete, small, loadable without special code."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, CLIPTokenizer

from pocket.bundle import CONTROLS, READERS, load_controlnet, pipeline, processor, reader
from pocket.training import WEIGHTS
from pocket.world import CLASSES, PALETTE, SIZE

FOLDERS = ["stable-diffusion", *(f"controlnet-{kind}" for kind in CONTROLS), *READERS]
MOST_MB, MOST_MB_A_FILE = 56, 8


def test_no_folder_is_unknown():
    assert {folder.name for folder in WEIGHTS.iterdir()} == set(FOLDERS)


def test_all_weights_together_are_small():
    sizes = [file.stat().st_size / 1e6 for file in WEIGHTS.rglob("*") if file.is_file()]
    assert sum(sizes) <= MOST_MB
    assert max(sizes) <= MOST_MB_A_FILE


@pytest.mark.parametrize("name", FOLDERS)
def test_a_model_card_states_licence_data_recipe_and_quality(name):
    card = (WEIGHTS / name / "README.md").read_text()
    assert "license: apache-2.0" in card
    for heading in ("# pocket: ", "## Data", "## Recipe", "## Measured quality"):
        assert f"\n{heading}" in card


@pytest.mark.parametrize("name", FOLDERS)
def test_nothing_in_the_files_names_the_machine_that_wrote_them(name):
    for file in (WEIGHTS / name).rglob("*"):
        if file.suffix in (".json", ".md", ".txt"):
            assert str(Path.cwd()) not in file.read_text(), file


@pytest.mark.parametrize("name", READERS)
def test_a_reader_loads_with_its_processor(name):
    model = reader(name)
    assert model.dtype == torch.float32
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert AutoConfig.from_pretrained(WEIGHTS / name).architectures == [type(model).__name__]
    images = processor(name)
    images = getattr(images, "image_processor", images)
    boxes = {"boxes": [[[30, 20, 40, 80]]]} if name == "pose" else {}
    picture = torch.zeros(3, 200, 150, dtype=torch.uint8)
    pixels = images(picture, return_tensors="pt", **boxes).pixel_values
    with torch.no_grad():
        vision = getattr(model, "vision_model", model)
        vision(pixel_values=pixels)


@pytest.mark.parametrize("kind", CONTROLS)
def test_a_controlnet_fits_the_base(kind):
    net, unet = load_controlnet(kind), pipeline().unet
    assert net.config.cross_attention_dim == unet.config.cross_attention_dim
    assert net.config.in_channels == unet.config.in_channels


def test_the_base_draws_at_the_size_of_the_world():
    pipe = pipeline()
    assert pipe.unet.config.sample_size * pipe.vae_scale_factor == SIZE
    assert isinstance(pipe.tokenizer, CLIPTokenizer)


def test_segmentation_carries_its_classes_and_colours():
    config = json.loads((WEIGHTS / "segmentation/config.json").read_text())
    assert list(config["id2label"].values()) == list(CLASSES)
    assert config["palette"] == PALETTE.tolist()


def test_the_detector_knows_people_alone():
    assert reader("people").config.id2label == {0: "person"}
