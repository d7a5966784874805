"""ONNX models, opened the same way for every component."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.pretrained import shared


class OnnxModel:
    """A network of a folder with `config.json`.

    Attributes:
        config: what `config.json` says.
    """

    def __init__(self, folder: Path, device: str = "cpu", file: str = "model.onnx") -> None:
        """Opens a session on `device`: "cuda" where this onnxruntime can, or on the CPU.

        All that open the same model share it: a session computes for several at once.
        """
        import onnxruntime

        def open_session() -> Any:
            options = onnxruntime.SessionOptions()
            # Idle threads of one model must not take the cores from the others of this process.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
            there = onnxruntime.get_available_providers()
            providers = [name for name in (*wanted, "CPUExecutionProvider") if name in there]
            return onnxruntime.InferenceSession(folder / file, options, providers)

        self._session = shared(open_session, folder, "onnx", file, device)
        self._inputs = [one.name for one in self._session.get_inputs()]
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())

    def __call__(self, *values: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Returns the model's outputs for all of its inputs, in their order."""
        named = dict(zip(self._inputs, values, strict=True))
        outputs: list[NDArray[np.float32]] = self._session.run(None, named)
        return outputs
