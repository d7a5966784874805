"""TensorFlow.js graphs as ONNX, operation by operation, on graphs made here."""

import json
from base64 import b64encode

import numpy as np
import pytest

from photo.conversion import run
from photo.tfjs import GraphModel, UnknownOperation, to_onnx


def text(value):
    return {"s": b64encode(value.encode()).decode()}


def model(folder, operations, constants, shape):
    """Writes a graph model with one float input "x" and the last operation as output."""
    weights = [
        {"name": name, "shape": list(value.shape), "dtype": "int32" if value.dtype == np.int32 else "float32"}
        | ({"quantization": {"dtype": "float16"}} if value.dtype == np.float16 else {})
        for name, value in constants.items()
    ]
    (folder / "weights.bin").write_bytes(b"".join(value.tobytes() for value in constants.values()))
    dims = [{"size": str(side)} for side in shape]
    port = {"dtype": "DT_FLOAT", "tensorShape": {"dim": dims}}
    output = {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "-1"}] * len(shape)}}
    nodes = [{"name": name, "op": "Const"} for name in constants] + [{"name": "x", "op": "Placeholder"}]
    document = {
        "modelTopology": {"node": [*nodes, *operations]},
        "weightsManifest": [{"paths": ["weights.bin"], "weights": weights}],
        "signature": {
            "inputs": {"x": {"name": "x:0", **port}},
            "outputs": {"y": {"name": operations[-1]["name"], **output}},
        },
    }
    (folder / "model.json").write_text(json.dumps(document))
    return GraphModel.read(folder / "model.json")


def answer(graph, values):
    (found,) = run(to_onnx(graph), {"x": values.astype(np.float32)}).values()
    return found


def test_weights_in_half_precision_are_widened_and_not_rounded(tmp_path):
    half = np.array([0.1, 1 / 3, 1000.5, -2], np.float16)
    graph = model(tmp_path, [{"name": "y", "op": "AddV2", "input": ["x", "half"]}], {"half": half}, (1, 4))
    assert np.array_equal(answer(graph, np.zeros((1, 4))), half.astype(np.float32)[None])


def test_a_convolution_pads_more_below_and_on_the_right_where_sides_are_even(tmp_path):
    kernel = np.ones((3, 3, 1, 1), np.float16)
    attributes = {"strides": {"list": {"i": ["1", "2", "2", "1"]}}, "padding": text("SAME")}
    operation = {"name": "y", "op": "Conv2D", "input": ["x", "kernel"], "attr": attributes}
    graph = model(tmp_path, [operation], {"kernel": kernel}, (1, 4, 4, 1))
    picture = np.arange(16).reshape(1, 4, 4, 1)
    padded = np.pad(picture[0, :, :, 0], ((0, 1), (0, 1)))
    expected = [[padded[y : y + 3, x : x + 3].sum() for x in (0, 2)] for y in (0, 2)]
    assert np.array_equal(answer(graph, picture)[0, :, :, 0], expected)


def test_operations_are_run_in_the_order_they_need_each_other(tmp_path):
    operations = [
        {"name": "last", "op": "Mul", "input": ["first", "two"]},
        {"name": "first", "op": "AddV2", "input": ["x", "one"]},
        {"name": "y", "op": "Sub", "input": ["last", "one"]},
    ]
    constants = {"one": np.ones((1, 1), np.float32), "two": np.full((1, 1), 2, np.float32)}
    graph = model(tmp_path, operations, constants, (1, 1))
    assert answer(graph, np.full((1, 1), 3.0)).item() == 7


def test_an_operation_without_translation_is_named(tmp_path):
    graph = model(tmp_path, [{"name": "y", "op": "Einsum", "input": ["x"]}], {}, (1, 1))
    with pytest.raises(UnknownOperation, match=r"Einsum \(y\)"):
        to_onnx(graph)
