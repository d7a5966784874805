"""ONNX models inside Triton where its own backend for them cannot be had: in Python, by the same runtime.

Triton reads the repository, checks requests by `config.pbtxt` and speaks its protocols as ever.
"""

import json
from pathlib import Path

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        self.outputs = [one["name"] for one in json.loads(args["model_config"])["output"]]
        file = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self.inputs = [one.name for one in self.session.get_inputs()]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        values = {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        answers = self.session.run(self.outputs, values)
        return triton.InferenceResponse(
            [triton.Tensor(*pair) for pair in zip(self.outputs, answers, strict=True)]
        )
