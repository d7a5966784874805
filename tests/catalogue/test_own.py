"""A model of one's own is one file and one entry in a catalogue beside it."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

from imagegraph.errors import ImagegraphError
from imagegraph.image import Image
from imagegraph.run.embedded import Embedded
from imagegraph.spec import graph
from imagegraph.spec.catalogue import ROOT, Catalogue
from tests.catalogue.conftest import BUNDLE
from tests.components import lora

PHOTO = ROOT / "pocket/examples/scene.png"
WEIGHTS = ROOT / "pocket/weights"

PALETTE = '''
from typing import Annotated, TypedDict

from pydantic import Field

from imagegraph.component import Component
from imagegraph.image import Image


class Colours(TypedDict):
    """colours: #rrggbb, the most frequent first."""

    colours: list[str]


class Palette(Component):
    """Names the colours of a picture."""

    def predict(
        self, image: Image, most: Annotated[int, Field(ge=1, le=16, description="Colours at most")] = 4
    ) -> Colours:
        small = image.rgb().quantize(most).convert("RGB")
        found = sorted(small.getcolors(), reverse=True)
        return {"colours": ["#%02x%02x%02x" % colour for _, colour in found]}
'''
PALETTE_ENTRY = """
entries:
  palette:
    component: palette:Palette
    summary: The colours of a picture
    smoke: {image: mine.png}
    bundles: {pocket: {}}
"""

DETECT = '''
from typing import Annotated, TypedDict

import numpy as np
from numpy.typing import NDArray

from imagegraph.component import Component, Weights
from imagegraph.image import Image
from imagegraph.ports import Array, Unit


class Found(TypedDict):
    """boxes: left, top, right, bottom, px; labels and confidences: one a box."""

    boxes: Annotated[NDArray[np.float32], Array("float32", (-1, 4))]
    labels: list[str]
    confidences: list[float]


class Detect(Component):
    """Finds objects with a detector of transformers."""

    def load(self, weights: Weights) -> None:
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        self._processor = AutoImageProcessor.from_pretrained(weights["model"])
        self._model = AutoModelForObjectDetection.from_pretrained(weights["model"]).to(weights.device)

    def predict(self, image: Image, threshold: Unit = 0.5) -> Found:
        picture = image.rgb()
        inputs = self._processor(picture, return_tensors="pt").to(self._model.device)
        sizes = [picture.size[::-1]]
        (found,) = self._processor.post_process_object_detection(self._model(**inputs), threshold, sizes)
        return {
            "boxes": found["boxes"].detach().cpu().numpy(),
            "labels": [self._model.config.id2label[int(one)] for one in found["labels"]],
            "confidences": found["scores"].tolist(),
        }
'''
DETECT_ENTRY = """
entries:
  detect:
    component: detect:Detect
    summary: Objects in a picture
    bundles: {pocket: {weights: {model: {path: detector}}}}
graphs:
  look:
    summary: Objects of a picture, and what it shows
    root: {name: unite, entry: priors, type: COMBINER, children: [{name: detect}, {name: caption}]}
"""

TONES = '''
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np

from imagegraph.component import Reader
from imagegraph.image import Image


class TonesMap(TypedDict):
    tones: Image


class Tones(Reader):
    """Reads where a picture is light and where it is dark, in four tones."""

    def predict(self, image: Image) -> TonesMap:
        grey = np.asarray(image.rgb().convert("L").resize((128, 128)))
        return {"tones": Image.from_array(grey // 64 * 85)}

    def fidelity(self, control: Mapping[str, Any], again: Mapping[str, Any]) -> float:
        one, other = (np.asarray(each["tones"].rgb()) for each in (control, again))
        return float((one == other).mean())
'''
TONES_ENTRY = """
priors: [tones]
entries:
  tones: {component: tones:Tones, summary: Light and dark in four tones, bundles: {pocket: {}}}
  generate:
    like: generate
    bundles: {pocket: {weights: {tones: {path: controlnet-tones, kind: control}}}}
"""

LORA_ENTRY = """
entries:
  sketch:
    like: generate
    summary: Pictures in a style of one's own
    bundles: {pocket: {weights: {ink: {path: ink, kind: adapter}}}}
graphs:
  draw-sketch: {summary: Pictures in a style of one's own, root: {name: sketch}}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a catalogue of one's own and the file of its component."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(entry: str, name: str = "", code: str = "") -> Path:
        if name:
            (tmp_path / f"{name}.py").write_text(code)
        (tmp_path / "mine.yaml").write_text(entry)
        return tmp_path / "mine.yaml"

    return write


def show(own: Path, name: str) -> str:
    command = [sys.executable, "-m", "imagegraph.cli", "show", name, f"--catalogue={own}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def run(catalogue: Catalogue, name: str, **values: Any) -> dict[str, Any]:
    with Embedded(catalogue.graph(name).root, BUNDLE, catalogue, "cpu") as embedded:
        return dict(asyncio.run(embedded.run(values)).values)


def test_a_component_without_weights_is_one_file_and_one_entry(write, tmp_path) -> None:
    own = write(PALETTE_ENTRY, "palette", PALETTE)
    shutil.copy(PHOTO, tmp_path / "mine.png")
    catalogue = Catalogue.read([own])
    entry = catalogue.entry("palette")
    smoke = entry.smoke_values(catalogue.signature("palette", BUNDLE))
    colours = run(catalogue, "palette", **smoke, most=3)["colours"]
    assert len(colours) == 3
    assert all(len(one) == 7 for one in colours)
    with pytest.raises(ImagegraphError, match="most: expected .*16, got 17"):
        run(catalogue, "palette", **smoke, most=17)
    shown = show(own, "palette")
    assert "The colours of a picture" in shown
    assert "most" in shown
    assert "Colours at most" in shown


def test_a_detector_of_transformers_is_one_file_and_one_entry_and_a_node_beside_the_projects(
    write, tmp_path
) -> None:
    own = write(DETECT_ENTRY, "detect", DETECT)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = YolosConfig(image_size=[64, 64], num_detection_tokens=6, num_labels=3, **sizes)
    YolosForObjectDetection(config).save_pretrained(tmp_path / "detector")
    YolosImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "detector")
    catalogue = Catalogue.read([own])
    found = run(catalogue, "look", image=Image(PHOTO.read_bytes()), threshold=0.0)
    assert found["boxes"].shape == (6, 4)
    assert len(found["labels"]) == len(found["confidences"]) == 6
    assert found["caption"]
    shown = show(own, "look")
    assert "detect" in shown
    assert "threshold" in shown


def test_a_prior_is_one_file_and_one_entry_and_steers_and_is_measured_in_the_main_job(
    write, tmp_path
) -> None:
    own = write(TONES_ENTRY, "tones", TONES)
    shutil.copytree(WEIGHTS / "controlnet-depth", tmp_path / "controlnet-tones")
    catalogue = Catalogue.read([own])
    root = catalogue.graph("reimagine").root
    assert catalogue.bundles(root) == [BUNDLE]
    assert "tones" in [node.name for node in root.walk()]
    signatures = catalogue.signatures(root, BUNDLE)
    assert {"tones", "depth"} <= signatures["generate"].inputs.keys()
    assert "tones" in graph.outputs(root, signatures)
    with pytest.raises(ImagegraphError, match="controls.*'edges', .* or 'tones'"):
        signatures["generate"].port("controls").read({"tone": {"strength": 1}})
    photo = Image(PHOTO.read_bytes())
    asked = {"priors": ["tones", "combined"], "controls": {"tones": {"strength": 0.5}}, "steps": 2}
    answer = run(catalogue, "reimagine", image=photo, **asked, rank_by="fidelity")
    assert answer["steered_by"] == ["tones", "combined"]
    assert answer["tones"].size == (128, 128)
    assert 0 <= min(answer["fidelity"]) < max(answer["fidelity"]) <= 1
    shown = show(own, "reimagine")
    assert "tones" in shown


def test_an_adapter_is_one_entry_and_shares_the_base_with_the_projects_own(write, tmp_path) -> None:
    own = write(LORA_ENTRY)
    lora.write_diffusers(tmp_path / "ink", lora.pairs(WEIGHTS / "stable-diffusion", 5, size=0.2))
    catalogue = Catalogue.read([own])
    values = {"prompt": "a red sphere", "steps": 2, "priors": ["prompt"]}
    styled = run(catalogue, "draw-sketch", **values, adapters={"ink": 1.0})["pictures"][0]
    plain = run(catalogue, "draw-sketch", **values)["pictures"][0]
    assert plain.data != styled.data
    assert plain.data == run(catalogue, "generate", **values)["pictures"][0].data
    with pytest.raises(ImagegraphError, match="adapters.*: expected 'ink', got 'inc'"):
        run(catalogue, "draw-sketch", **values, adapters={"inc": 1.0})
    assert "ink" in show(own, "draw-sketch")
