"""Vertex AI's custom prediction routine: a handler that answers `instances` as our own server does."""

from __future__ import annotations

from imagegraph.export.exported import Exported
from imagegraph.export.folder import Recipe

_HANDLER = '''"""Serves '$component' as a routine of Vertex AI: instances in, predictions out."""

from fastapi import Request, Response
from google.cloud.aiplatform.prediction.handler import Handler

from imagegraph.export.served import Served
from imagegraph.spec.bucket import bring


class ComponentHandler(Handler):
    def __init__(self, artifacts_uri: str | None, predictor: object = None) -> None:
        if artifacts_uri:
            bring(artifacts_uri)
        self.served = Served("$component", "$bundle", "$device")
        self.served.wait()

    async def handle(self, request: Request) -> Response:
        path, body = "/v1/models/$component:predict", await request.body()
        answer = await self.served.asked("POST", path, body, request.headers)
        return Response(answer.body, answer.status, answer.headers, answer.content_type)
'''

_NOTES = """
`/predict` takes `{"instances": [...], "parameters": {...}}`, an object of inputs by name for each instance;
pictures are base64, also as `{"b64": ...}`. It answers `{"predictions": [...]}`, pictures as base64. Vertex
AI's public endpoints take 1.5 MB. Instances that come at once are computed together where the component can
do that. The server does not listen before the weights are loaded.

On Vertex AI itself the container's command is `start.sh`, with `HOST=0.0.0.0` and the routes that the model
was uploaded with. Where `AIP_STORAGE_URI` is set, the cache of weights is brought from there.
"""


def recipe(exported: Exported) -> Recipe:
    """Returns a handler and the command of Google's own server."""
    return Recipe(
        server="a custom prediction routine of Vertex AI",
        files={"handler.py": exported.fill(_HANDLER)},
        requirements=["google-cloud-aiplatform[prediction]==2.7.0"],
        start="""
export AIP_HTTP_PORT=${AIP_HTTP_PORT:-$PORT}
export AIP_HEALTH_ROUTE=${AIP_HEALTH_ROUTE:-/health} AIP_PREDICT_ROUTE=${AIP_PREDICT_ROUTE:-/predict}
export HANDLER_MODULE=handler HANDLER_CLASS=ComponentHandler
exec uvicorn --factory google.cloud.aiplatform.prediction.model_server:CprModelServer \\
  --host "$HOST" --port "$AIP_HTTP_PORT"
""",
        ask="curl -s localhost:8080/predict -H 'Content-Type: application/json' -d @request.json",
        request=exported.instances(),
        outputs="",
        notes=_NOTES,
    )
