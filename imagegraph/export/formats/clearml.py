"""ClearML Serving: the class of a `custom_async` endpoint, which needs a ClearML server to be known to."""

from __future__ import annotations

from imagegraph.export.exported import Exported
from imagegraph.export.folder import Recipe

_PREPROCESS = '''"""Serves '$component' as a custom endpoint of ClearML: a V2 request in, a V2 answer out."""

from collections.abc import Callable
from typing import Any

from imagegraph.errors import ImagegraphError
from imagegraph.export.served import Served


class Preprocess:
    def load(self, local_file_name: str | None) -> Served:
        self.served = Served("$component", "$bundle", "$device")
        self.served.wait()
        return self.served

    async def process(
        self, data: dict[str, Any], state: dict[str, Any], collect_custom_statistics_fn: Callable | None
    ) -> dict[str, Any]:
        try:
            return await self.served.inferred(data)
        except ImagegraphError as error:
            if error.status >= 500:
                raise
            raise ValueError(str(error)) from error  # ClearML answers 422, of the others 500

    async def preprocess(
        self, body: dict[str, Any], state: dict[str, Any], collect_custom_statistics_fn: Callable | None
    ) -> dict[str, Any]:
        return body

    async def postprocess(
        self, data: dict[str, Any], state: dict[str, Any], collect_custom_statistics_fn: Callable | None
    ) -> dict[str, Any]:
        return data
'''

_NOTES = """
It needs a ClearML server, which is no Python package: `clearml.conf` or `CLEARML_API_HOST`,
`CLEARML_API_ACCESS_KEY` and `CLEARML_API_SECRET_KEY` say where it is. `clearml-serving create` makes a
service there and says its id, which `start.sh` takes as `CLEARML_SERVING_TASK_ID`: it makes the endpoint
known to the service, and starts a process that serves it.

`/serve/$component` takes and answers V2 as JSON. The weights load with the first request. What is wrong with
a request is answered with 422.
"""


def recipe(exported: Exported) -> Recipe:
    """Returns the class, and the commands that register and serve it."""
    return Recipe(
        server="ClearML Serving",
        files={"preprocess.py": exported.fill(_PREPROCESS)},
        requirements=[
            "clearml-serving==1.3.5",
            "clearml==2.1.12",
            "fastapi==0.165.0",
            "grpcio==1.85.1",
            "uvicorn==0.54.0",
        ],
        start=exported.fill("""
: "$${CLEARML_SERVING_TASK_ID:?the id that clearml-serving create has said; see README.md}"
clearml-serving --yes --id "$$CLEARML_SERVING_TASK_ID" model add --engine custom_async \\
  --endpoint '$component' --preprocess preprocess.py
export CLEARML_SERVING_TASK_ID
exec uvicorn clearml_serving.serving.main:app --host "$$HOST" --port "$$PORT"
"""),
        ask=f"curl -s localhost:8080/serve/{exported.component} "
        "-H 'Content-Type: application/json' -d @request.json",
        request=exported.v2(),
        notes=exported.fill(_NOTES),
    )
