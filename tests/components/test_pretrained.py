"""What several components load from the same files is in memory once, and no longer than they are."""

import gc
import shutil
import weakref
from pathlib import Path

from transformers import CLIPTextModel

from components.generate import Generate
from components.pretrained import pretrained
from imagegraph.component import Weights


def generator(folders: dict[str, Path]) -> Generate:
    component = Generate(size=64)
    component.load(Weights(folders))
    return component


def test_generators_share_what_they_have_in_common_and_nothing_else(folders, tmp_path) -> None:
    one = generator(folders)
    other = generator({"base": folders["base"], "depth": folders["depth"], "mine": folders["edges"]})
    assert other._unet is one._unet
    assert other._vae is one._vae
    assert other._prompts is one._prompts
    assert other._nets["depth"] is one._nets["depth"]
    assert other._nets["mine"] is one._nets["edges"]
    copy = shutil.copytree(folders["base"], tmp_path / "base")
    assert generator({"base": copy})._unet is not one._unet
    values = {"prompt": "a red ball", "steps": 2, "priors": ["prompt"], "seed": 3}
    drawn = [each.predict_batch([each.prepare(**values)], lambda *_: None)[0] for each in (one, other)]
    assert drawn[0]["pictures"][0].data == drawn[1]["pictures"][0].data


def test_a_model_goes_with_the_last_that_has_it_and_comes_anew_when_its_files_change(folders, tmp_path):
    folder = shutil.copytree(folders["base"] / "text_encoder", tmp_path / "text")
    weights = Weights({"model": folder})
    first = pretrained(CLIPTextModel, weights)
    assert pretrained(CLIPTextModel, weights) is first
    (folder / "config.json").touch()
    assert pretrained(CLIPTextModel, weights) is not first
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None
