"""What a server says of itself over HTTP: whether requests are welcome, what is served, and how it does."""

from __future__ import annotations

from typing import Any

import orjson

import imagegraph
from imagegraph.serve import openapi
from imagegraph.serve.asgi import Answer, Request
from imagegraph.serve.metadata import metadata
from imagegraph.serve.service import Service


class Health:
    """What says whether requests are welcome."""

    def __init__(self, service: Service) -> None:
        """Takes what is served."""
        self._service = service

    async def live(self, request: Request) -> Answer:
        """Says whether the process can go on."""
        if hang := self._service.hang:
            return Answer(orjson.dumps({"live": False, "error": hang}), 503)
        return Answer(orjson.dumps({"live": True}))

    async def live_v1(self, request: Request) -> Answer:
        """Says the same in V1's words."""
        if hang := self._service.hang:
            return Answer(orjson.dumps({"status": "hung", "error": hang}), 503)
        return Answer(orjson.dumps({"status": "alive"}))

    async def ready(self, request: Request) -> Answer:
        """Says whether requests are welcome, and if not, why."""
        ready, trouble = self._service.ready, self._service.trouble
        facts: dict[str, Any] = {"name": request.path.get("model", self._service.name), "ready": ready}
        if trouble:
            facts["error"] = trouble
        if unavailable := self._service.unavailable:
            facts["unavailable"] = unavailable
        return Answer(orjson.dumps(facts), 200 if ready else 503)

    async def ready_v1(self, request: Request) -> Answer:
        """Says the same in V1's words."""
        facts = {"name": request.path["model"], "ready": self._service.ready}
        return Answer(orjson.dumps(facts), 200 if self._service.ready else 503)


class About:
    """What says what is served, and how it does."""

    def __init__(self, service: Service) -> None:
        """Takes what is served."""
        self._service = service

    async def model(self, request: Request) -> Answer:
        """Says what goes in and out."""
        return Answer(orjson.dumps({**metadata(self._service), "name": request.path["model"]}))

    async def models(self, request: Request) -> Answer:
        """Names the one model."""
        return Answer(orjson.dumps({"models": [self._service.name]}))

    async def index(self, request: Request) -> Answer:
        """Says how the one model does, as a repository of models would."""
        state = "READY" if self._service.ready else "UNAVAILABLE"
        row = {
            "name": self._service.name,
            "version": self._service.version or "1",
            "state": state,
            "reason": self._service.trouble,
        }
        return Answer(orjson.dumps([row]))

    async def server(self, request: Request) -> Answer:
        """Says what server this is."""
        # Of "model_repository" only the index is answered: nothing can be loaded or unloaded by request.
        extensions = ["binary_tensor_data"]
        facts = {"name": "imagegraph", "version": imagegraph.__version__, "extensions": extensions}
        return Answer(orjson.dumps(facts))

    async def openapi(self, request: Request) -> Answer:
        """Describes all this."""
        return Answer(orjson.dumps(openapi.document(self._service)))

    async def metrics(self, request: Request) -> Answer:
        """Answers Prometheus."""
        body, kind = self._service.journal.metrics.page(request.headers.get("accept", ""))
        return Answer(body, content_type=kind)
