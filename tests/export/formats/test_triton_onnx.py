"""Model repositories for Triton: of what is ONNX as it is, by the entry's and the roles' names."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from imagegraph.errors import InvalidInput
from imagegraph.export.exported import Exported
from imagegraph.export.formats import triton_onnx as triton
from imagegraph.spec.catalogue import Catalogue

CATALOGUE = Catalogue.read()
OF_ONNX = [
    (name, bundle)
    for name, entry in CATALOGUE.entries.items()
    for bundle, variant in entry.bundles.items()
    if variant.weights
    and all(
        (folder := source.project_folder) and [*folder.glob("*.onnx")] for source in variant.weights.values()
    )
]


def model(folder: Path, file: str, kind: int = TensorProto.FLOAT) -> Path:
    """A network that answers what it gets, any number of rows."""
    ports = [helper.make_tensor_value_info(name, kind, ["rows", 3]) for name in ("in", "out")]
    graph = helper.make_graph([helper.make_node("Identity", ["in"], ["out"])], "same", ports[:1], ports[1:])
    folder.mkdir(parents=True, exist_ok=True)
    opset = [helper.make_opsetid("", 19)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / file)
    return folder


def test_a_model_is_called_by_its_entry_its_role_and_its_file(tmp_path: Path) -> None:
    one = model(tmp_path / "one", "model.onnx")
    two = model(model(tmp_path / "two", "first.onnx"), "second.onnx")
    assert triton.models("same", {"model": one}) == {"same": one / "model.onnx"}
    assert [*triton.models("same", {"model": two})] == ["same-first", "same-second"]
    assert [*triton.models("same", {"one": one, "two": two})] == [
        "same-one",
        "same-two-first",
        "same-two-second",
    ]


def test_a_repository_has_the_very_files_and_what_triton_asks_of_them(tmp_path: Path) -> None:
    weights = model(tmp_path / "weights", "model.onnx")
    written = triton.repository(triton.models("same", {"model": weights}))
    assert written["same/1/model.onnx"] == (weights / "model.onnx").read_bytes()
    assert written["same/config.pbtxt"] == (
        'name: "same"\nbackend: "onnxruntime"\nmax_batch_size: 0\n'
        'input { name: "in" data_type: TYPE_FP32 dims: [-1, 3] }\n'
        'output { name: "out" data_type: TYPE_FP32 dims: [-1, 3] }\n'
    )


def test_some_entries_of_the_catalogue_can_be_exported() -> None:
    assert OF_ONNX


@pytest.mark.parametrize(("name", "bundle"), OF_ONNX)
def test_every_entry_that_is_onnx_can_be_exported(name: str, bundle: str) -> None:
    recipe = triton.recipe(Exported.of(name, bundle, "cpu", CATALOGUE))
    configs = [text for path, text in recipe.files.items() if path.endswith("config.pbtxt")]
    assert configs
    assert all("input {" in text for text in configs)


def test_what_is_not_onnx_as_a_whole_is_refused_by_role(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    weights = {"one": model(tmp_path / "one", "model.onnx"), "two": tmp_path / "torch"}
    with pytest.raises(
        InvalidInput, match="component: expected one whose weights are ONNX.*same: 'two' has none"
    ):
        triton.models("same", weights)
    with pytest.raises(InvalidInput, match="same, which has no weights"):
        triton.models("same", {})


def test_a_type_that_triton_does_not_have_is_refused(tmp_path: Path) -> None:
    weights = model(tmp_path / "weights", "model.onnx", TensorProto.FLOAT8E4M3FN)
    with pytest.raises(InvalidInput, match=r"component: expected inputs.*same: tensor\(float8e4m3fn\)"):
        triton.repository({"same": weights / "model.onnx"})
