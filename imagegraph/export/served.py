"""A component in this process, asked as our own server is: what the code in exported folders imports."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from imagegraph.engine.background import background
from imagegraph.engine.closing import Closing
from imagegraph.errors import ImagegraphError, as_raised
from imagegraph.message import Message
from imagegraph.observe.metrics import Metrics
from imagegraph.observe.request_log import Journal
from imagegraph.serve.asgi import Answer
from imagegraph.serve.build import Assembly, Settings
from imagegraph.serve.connection import LEFT
from imagegraph.serve.http_v2 import Limits, application
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import NodeType


@dataclass(frozen=True)
class Question:
    """An HTTP request."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Served(Closing):
    """A component with the answers, batches, limits and errors of `imagegraph serve --component`.

    It loads in the background from the start. Its methods can be called from any thread; what threads ask
    at once is computed together where the component can do that.

    Attributes:
        name: of the component.
        most_bytes: of a request; larger ones are refused.
    """

    most_bytes = Limits.body_bytes

    def __init__(self, component: str, bundle: str, device: str = "auto") -> None:
        """Takes an entry of the catalogue, and what `imagegraph serve` has as --bundle and --device.

        Raises:
            UnknownName: there is no such entry, or not in that bundle.
        """
        # Of its own: the framework may count in prometheus_client's, under whatever names.
        journal = Journal(Metrics(component, CollectorRegistry(), role="node"))
        assembly = Assembly(Catalogue.read(), Settings(device), journal)
        self.name = component
        self._service = assembly.node(component, bundle, component, NodeType.MODEL)
        self._application = application(self._service, Limits(body_bytes=self.most_bytes), None)
        self._loading = background.submit(self._service.load())

    def wait(self) -> None:
        """Waits until the weights are loaded; who does not has requests refused until then.

        Raises:
            ImagegraphError: they cannot be loaded.
        """
        self._loading.result()

    @property
    def ready(self) -> bool:
        """Whether requests are welcome."""
        return self._service.ready

    def close(self) -> None:
        """Lets go of the component."""
        background.run(self._service.close())

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Answers an HTTP request as our own server does, whatever its path; an answer may be a refusal."""
        return background.run(self._ask(method, path, body, headers or {}))

    async def asked(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Answers as `ask` does, without blocking the loop of whoever awaits it."""
        return await asyncio.wrap_future(background.submit(self._ask(method, path, body, headers or {})))

    def ask_together(self, questions: Sequence[Question]) -> list[Answer]:
        """Answers several requests at once, so that they can be computed together."""

        async def answers() -> list[Answer]:
            asked = (self._ask(one.method, one.path, one.body, one.headers) for one in questions)
            return await asyncio.gather(*asked)

        return background.run(answers())

    def infer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answers a V2 request, both as parsed JSON.

        Raises:
            ImagegraphError: see `errors`; `status` is HTTP's.
        """
        return _document(self.ask("POST", f"/v2/models/{self.name}/infer", orjson.dumps(request)))

    async def inferred(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answers as `infer` does, without blocking the loop of whoever awaits it."""
        return _document(await self.asked("POST", f"/v2/models/{self.name}/infer", orjson.dumps(request)))

    def run(self, message: Message) -> Message:
        """Answers values with values; pictures come encoded.

        Raises:
            ImagegraphError: see `errors`.
        """
        return background.run(self._run(message))

    def run_together(self, messages: Sequence[Message]) -> list[Message | ImagegraphError]:
        """Answers several requests at once, so that they can be computed together; each may fail alone."""

        async def answer(message: Message) -> Message | ImagegraphError:
            try:
                return await self._run(message)
            except ImagegraphError as error:
                return error

        async def answers() -> list[Message | ImagegraphError]:
            return await asyncio.gather(*map(answer, messages))

        return background.run(answers())

    async def _run(self, message: Message) -> Message:
        journal = self._service.journal
        entry = journal.open("python", "run", {})
        try:
            return await self._service.infer([message], entry)
        except ImagegraphError as error:
            entry.fail(error)
            raise
        finally:
            journal.close(entry)

    async def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        scope: MutableMapping[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
            "state": {LEFT: asyncio.get_running_loop().create_future()},  # who asks here stays
        }
        answer, pieces = Answer(b""), []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(event: MutableMapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                answer.status = event["status"]
                answer.headers = {name.decode(): value.decode("latin-1") for name, value in event["headers"]}
            else:
                pieces.append(event["body"])

        await self._application(scope, receive, send)
        answer.body = b"".join(pieces)
        answer.content_type = answer.headers.pop("content-type")
        return answer


def _document(answer: Answer) -> dict[str, Any]:
    """Returns the JSON of an answer, or raises the refusal that it is."""
    document: dict[str, Any] = orjson.loads(answer.body)
    if answer.status == 200:
        return document
    error = ImagegraphError(document["error"])
    error.status = answer.status
    raise as_raised(error)
