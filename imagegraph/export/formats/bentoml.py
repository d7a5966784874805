"""BentoML: a service whose one call has V2's path, and the members of a V2 request for parameters."""

from __future__ import annotations

from imagegraph.export.exported import Exported
from imagegraph.export.folder import Recipe

_SERVICE = '''"""Serves '$component' with BentoML: a V2 request in, a V2 answer out."""

from http import HTTPStatus
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

from imagegraph.errors import ImagegraphError
from imagegraph.export.served import Served


@bentoml.service(name="$component", workers=1, traffic={"timeout": 600})
class Component:
    def __init__(self) -> None:
        self.served = Served("$component", "$bundle", "$device")
        self.served.wait()

    @bentoml.api(route="/v2/models/$component/infer")
    async def infer(
        self,
        inputs: list[dict[str, Any]],
        id: str = "",
        parameters: dict[str, Any] | None = None,
        outputs: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        request = {"id": id, "parameters": parameters or {}, "inputs": inputs, "outputs": outputs or []}
        try:
            return await self.served.inferred(request)
        except ImagegraphError as error:
            raise BentoMLException(str(error), error_code=HTTPStatus(error.status)) from error
'''

_NOTES = """
`/v2/models/$component/infer` takes and answers V2 as JSON; `/readyz` says whether the weights are loaded.
Requests that come at once are computed together where the component can do that: BentoML need not batch.
"""


def recipe(exported: Exported) -> Recipe:
    """Returns a service and the command that serves it."""
    return Recipe(
        server="BentoML",
        files={"service.py": exported.fill(_SERVICE)},
        requirements=["bentoml==1.4.40"],
        start="""
export BENTOML_DO_NOT_TRACK=True
exec bentoml serve service:Component --host "$HOST" --port "$PORT"
""",
        ask=f"curl -s localhost:8080/v2/models/{exported.component}/infer "
        "-H 'Content-Type: application/json' -d @request.json",
        request=exported.v2(),
        notes=exported.fill(_NOTES),
    )
