"""Triton's backend for ONNX: a component's networks as they are, where its weights are ONNX files.

What the component does around them, Triton does not: whoever asks sends and gets the networks' own tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imagegraph.errors import InvalidInput
from imagegraph.export.exported import Exported
from imagegraph.export.folder import Recipe

VERSION = "1"
MODEL = "model.onnx"  # as Triton's backend looks for it, and as most weights call it
# Triton's types by the runtime's.
TYPES = {
    f"tensor({kind}{bits})": f"TYPE_{kind}{bits}".upper()
    for kind in ("int", "uint")
    for bits in (8, 16, 32, 64)
}
TYPES |= {
    "tensor(float)": "TYPE_FP32",
    "tensor(float16)": "TYPE_FP16",
    "tensor(double)": "TYPE_FP64",
    "tensor(bool)": "TYPE_BOOL",
    "tensor(string)": "TYPE_STRING",
}


def recipe(exported: Exported) -> Recipe:
    """Returns a model repository, in `models`."""
    files = models(exported.component, exported.weights())
    first = next(iter(files))
    return Recipe(
        server="Triton",
        files={f"models/{name}": content for name, content in repository(files).items()},
        start='exec tritonserver --model-repository models --http-address "$HOST" --http-port "$PORT"',
        ask=f"curl -s localhost:8080/v2/models/{first}",
        notes=f"It has the networks alone, as {', '.join(f'`{name}`' for name in files)}: what the\n"
        "component does with pictures before and after them is for whoever asks.",
        runtime=False,
    )


def models(entry: str, weights: Mapping[str, Path]) -> dict[str, Path]:
    """Returns the ONNX files of an entry's weights by the names of their models.

    A name is the entry's, the role's where there are several, and the file's where it is not `model.onnx`.

    Raises:
        InvalidInput: a role has no such file, so that Triton could not compute what the component does.
    """
    found: dict[str, Path] = {}
    for role, folder in weights.items():
        files = sorted(folder.glob("*.onnx"))
        if not files:
            raise InvalidInput("component", "one whose weights are ONNX files", f"{entry}: '{role}' has none")
        for file in files:
            parts = [
                entry,
                *([role] if len(weights) > 1 else []),
                *([file.stem] if file.name != MODEL else []),
            ]
            found["-".join(parts)] = file
    if not found:
        raise InvalidInput("component", "one whose weights are ONNX files", f"{entry}, which has no weights")
    return found


def repository(files: Mapping[str, Path]) -> dict[str, str | bytes]:
    """Returns a model repository by path: for each name `config.pbtxt` and the file as it is.

    Raises:
        InvalidInput: a file has inputs or outputs that Triton has no type for.
    """
    written: dict[str, str | bytes] = {}
    for name, file in files.items():
        written[f"{name}/config.pbtxt"] = config(name, file)
        written[f"{name}/{VERSION}/{MODEL}"] = file.read_bytes()
    return written


def config(name: str, file: Path) -> str:
    """Returns what Triton is to know of an ONNX file; sides of any length are -1, the batch's as well."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    kinds = {"input": session.get_inputs(), "output": session.get_outputs()}
    ports = [f"{kind} {_port(name, one)}" for kind, ports in kinds.items() for one in ports]
    return "\n".join([f'name: "{name}"', 'backend: "onnxruntime"', "max_batch_size: 0", *ports, ""])


def _port(model: str, port: Any) -> str:
    if port.type not in TYPES:
        raise InvalidInput("component", f"inputs and outputs of {', '.join(TYPES)}", f"{model}: {port.type}")
    dims = ", ".join(str(side) if isinstance(side, int) else "-1" for side in port.shape)
    return f'{{ name: "{port.name}" data_type: {TYPES[port.type]} dims: [{dims}] }}'
