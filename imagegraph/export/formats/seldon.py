"""Seldon Core's Python wrapper: a class that answers V2, inside of SeldonMessages and by itself."""

from __future__ import annotations

import orjson

from imagegraph.export.exported import Exported
from imagegraph.export.folder import Recipe

_MODEL = '''"""Serves '$component' under Seldon Core's Python wrapper: a V2 request in, a V2 answer out."""

import json
from typing import Any

from flask import Blueprint, Response, request
from seldon_core.flask_utils import SeldonMicroserviceException

from imagegraph.errors import ImagegraphError
from imagegraph.export.served import Served


def whole(value: Any) -> Any:
    """Makes 1 of 1.0 wherever it stands: SeldonMessages know no whole numbers."""
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    if isinstance(value, list):
        return [whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Component:
    def load(self) -> None:
        # Not before: the wrapper makes the object in one process and asks it in another.
        self.served = Served("$component", "$bundle", "$device")
        self.served.wait()

    def predict(
        self, features: dict[str, Any] | str, names: list[str], meta: dict[str, Any] | None = None
    ) -> dict[str, Any] | str:
        try:
            if isinstance(features, str):
                return json.dumps(self.served.infer(json.loads(features)))
            return self.served.infer(whole(features))
        except (ImagegraphError, ValueError) as error:
            status, reason = getattr(error, "status", 400), getattr(error, "code", "INVALID_ARGUMENT")
            raise SeldonMicroserviceException(str(error), status_code=status, reason=reason) from error

    @property
    def model_error_handler(self) -> Blueprint:
        # The wrapper adds this to its application, whatever it is: so graphs of V2 can have it as a node.
        blueprint = Blueprint("v2", __name__)
        blueprint.add_url_rule("/v2/<path:path>", view_func=self.answer, methods=["GET", "POST"])
        return blueprint

    def answer(self, path: str) -> Response:
        answer = self.served.ask(request.method, f"/v2/{path}", request.get_data(), request.headers)
        return Response(answer.body, answer.status, answer.headers, content_type=answer.content_type)
'''

_DEPLOYMENT = """apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata: {name: $component}
spec:
  protocol: v2
  predictors:
    - name: default
      replicas: 1
      graph: {name: $component, type: MODEL}
      componentSpecs:
        - spec:
            containers:
              - name: $component
                image: $component-seldon:latest
                workingDir: /served
                command: [./start.sh]
                ports: [{name: http, containerPort: 8080}]
                readinessProbe: {httpGet: {path: /v2/models/$component/ready, port: http}}
"""

_NOTES = """
`/api/v1.0/predictions` takes a SeldonMessage with a V2 request as `jsonData`, or as text in `strData`, and
answers the V2 answer likewise. `SeldonClient` has these as `json_data` and `str_data`. `/health/ping` is
answered once the weights are loaded. What is wrong with a request is said as a SeldonMessage's status.

`/v2/models/$component/infer` takes and answers V2 by itself, as imagegraph's own nodes do: `deployment.yaml`
has the class as a node of Seldon Core's `protocol: v2`, from an image with this folder at `/served`, and any
graph may have it beside those.

seldon-core 1.17.1 is under the Apache licence; from 1.18 on it is under the Business Source Licence.
"""


# The wrapper wants other versions of some packages than imagegraph, which works with these, too.
_INSTALL = """
python3.11 -m venv imagegraph && imagegraph/bin/pip install --editable '/path/to/imagegraph[models,serve]'
python3.11 -m venv seldon && seldon/bin/pip install -r requirements.txt
seldon/bin/pip install --no-deps prometheus-client==0.26.0
packages=$(imagegraph/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")
echo "import site; site.addsitedir('$packages')" > seldon/lib/python3.11/site-packages/imagegraph.pth
export PATH="$PWD/seldon/bin:$PATH"
"""


def recipe(exported: Exported) -> Recipe:
    """Returns a class, a SeldonDeployment, and the command of the wrapper."""
    return Recipe(
        server="Seldon Core's Python wrapper",
        files={"model.py": exported.fill(_MODEL), "deployment.yaml": exported.fill(_DEPLOYMENT)},
        requirements=["seldon-core==1.17.1", "numpy==1.26.4", "setuptools<81"],
        start="""
exec seldon-core-microservice model.Component --service-type MODEL --workers 1 --threads 64 \\
  --grpc-workers 0 --http-port "$PORT" --metrics-port "$((PORT + 1))"
""",
        ask="curl -s localhost:8080/api/v1.0/predictions "
        "-H 'Content-Type: application/json' -d @request.json",
        outputs=".jsonData.outputs",
        request=orjson.dumps({"jsonData": orjson.loads(exported.v2())}),
        install=_INSTALL,
        notes=exported.fill(_NOTES),
    )
