"""MLflow: a model of the pyfunc flavour, whose list of inputs is that of a V2 request."""

from __future__ import annotations

from imagegraph.export.exported import Exported
from imagegraph.export.folder import Recipe

_MODEL = '''"""Serves '$component' as an MLflow model: the inputs of a V2 request in, a V2 answer out."""

from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import ErrorCode
from mlflow.pyfunc import PythonModel, PythonModelContext

from imagegraph.errors import ImagegraphError
from imagegraph.export.served import Served

CODES = {404: "NOT_FOUND", 501: "NOT_IMPLEMENTED", 503: "TEMPORARILY_UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


class Component(PythonModel):
    def load_context(self, context: PythonModelContext) -> None:
        self.served = Served("$component", "$bundle", "$device")
        self.served.wait()

    def predict(self, model_input: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            return self.served.infer({"inputs": model_input})
        except ImagegraphError as error:
            code = CODES.get(error.status, "BAD_REQUEST" if error.status < 500 else "INTERNAL_ERROR")
            raise MlflowException(str(error), ErrorCode.Value(code)) from error


set_model(Component())
'''

_MLMODEL = """flavors:
  python_function:
    env: {virtualenv: python_env.yaml}
    loader_module: mlflow.pyfunc.loaders.code_model
    model_code_path: model.py
    streamable: false
is_signature_from_type_hint: true
mlflow_version: 3.17.2
signature:
  inputs: '[{"type": "map", "values": {"type": "any"}, "required": true}]'
  outputs: '[{"type": "any", "required": true}]'
  params: null
type_hint_from_example: false
"""

_ENVIRONMENT = """python: "3.11"
dependencies:
- -r requirements.txt
"""

_NOTES = """
`/invocations` takes a V2 request as JSON, of which MLflow hands on the `inputs`: its id, its parameters and
its wishes for outputs are not seen. The V2 answer is what stands under `predictions`. `/ping` says whether
the weights are loaded; the server does not listen before. MLflow's own words around a refusal repeat the
whole input.

`mlflow.pyfunc.load_model("model").predict([...])` asks the same model from Python.
"""


def recipe(exported: Exported) -> Recipe:
    """Returns a model folder and the command that serves it."""
    requirements = ["mlflow==3.17.2"]
    return Recipe(
        server="MLflow",
        files={
            "model/MLmodel": _MLMODEL,
            "model/model.py": exported.fill(_MODEL),
            "model/python_env.yaml": _ENVIRONMENT,
            "model/requirements.txt": "".join(f"{one}\n" for one in requirements),
        },
        requirements=requirements,
        start="""
export MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT=600
exec mlflow models serve --model-uri model --env-manager local --workers 1 --host "$HOST" --port "$PORT"
""",
        ask="curl -s localhost:8080/invocations -H 'Content-Type: application/json' -d @request.json",
        request=exported.v2(),
        outputs=".predictions.outputs",
        notes=_NOTES,
    )
