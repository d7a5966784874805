"""Triton model repositories of components whose weights are ONNX: the very files, and what Triton asks."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagegraph.errors import InvalidInput

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


def write(folder: Path, files: Mapping[str, Path]) -> Sequence[str]:
    """Writes a model repository: for each name a folder with `config.pbtxt` and the file as it is.

    Returns:
        The names.

    Raises:
        InvalidInput: a file has inputs or outputs that Triton has no type for.
    """
    for name, file in files.items():
        text = config(name, file)
        version = folder / name / VERSION
        version.mkdir(parents=True)
        shutil.copyfile(file, version / MODEL)
        (folder / name / "config.pbtxt").write_text(text)
    return list(files)


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
