"""V2, V1 and Vertex AI over HTTP, as one small ASGI application with an explicit table of routes.

Bodies are read, decoded and encoded here and nowhere else; pictures stay bytes. What the table does
not know goes to the application underneath.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import orjson

import imagegraph
from imagegraph import openapi, wire
from imagegraph.engine import Context
from imagegraph.errors import Cancelled, DeadlineExceeded, ImagegraphError, InputTooLarge, InvalidInput
from imagegraph.message import Message
from imagegraph.service import Service, metadata

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("imagegraph.request")

JSON = "application/json"
BINARY = "application/octet-stream"
IDLE_BYTES = 65536  # of a body that nobody looks at
LENGTH = re.compile(r"[0-9]{1,18}")  # of more digits Python makes no number
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True)
class Limits:
    """What a request may cost.

    Attributes:
        body_bytes: largest body.
        vertex_bytes: largest body on Vertex AI's route; its public endpoints allow no more.
        timeout_s: longest that a request may take, and what it gets by default.
    """

    body_bytes: int = 64 * 2**20
    vertex_bytes: int = 10 * 2**20
    timeout_s: float = 600.0


@dataclass(frozen=True)
class Vertex:
    """The routes that Vertex AI asks for by AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE."""

    health: str
    predict: str


@dataclass
class Request:
    """One HTTP request, read."""

    path: dict[str, str]
    headers: dict[str, str]
    body: bytes
    id: str


@dataclass
class Answer:
    """What goes back."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Answer]]


class Rest:
    """The application; see `table` for what it answers."""

    def __init__(self, service: Service, limits: Limits, vertex: Vertex | None, beneath: Application) -> None:
        """Takes what to serve and the application that answers all other paths."""
        self._service = service
        self._metrics = service.metrics
        self._limits = limits
        self._beneath = beneath
        # Seldon's executor asks /v2/models/infer: its verbs are no names of models.
        model = r"/v2/models/(?P<model>(?!(?:infer|aggregate|route)$)[^/]+)(?:/versions/(?P<version>[^/]+))?"
        asked = rf"(?:{model}|/v2/models)"
        table: list[tuple[str, str, Handler, int]] = [
            ("POST", asked + "/infer", self._infer, limits.body_bytes),
            ("POST", asked + "/aggregate", self._aggregate, limits.body_bytes),
            ("POST", asked + "/route", self._route, limits.body_bytes),
            ("POST", r"/v1/models/(?P<model>[^/:]+):predict", self._predict, limits.body_bytes),
            ("GET", model, self._model, 0),
            ("GET", model + "/ready", self._ready, 0),
            ("GET", r"/v1/models/(?P<model>[^/:]+)", self._ready_v1, 0),
            ("GET", r"/v2/models", self._models, 0),
            ("GET", r"/v1/models", self._models, 0),
            ("POST", r"/v2/repository/index", self._index, limits.body_bytes),
            ("GET", r"/v2", self._server, 0),
            ("GET", r"/v2/health/live", self._live, 0),
            ("GET", r"/", self._live_v1, 0),
            ("GET", r"/v2/health/ready", self._ready, 0),
            ("GET", r"/metrics|/prometheus", self._metrics_page, 0),
            ("GET", r"/openapi\.json", self._openapi, 0),
        ]
        if vertex:
            table += [
                ("GET", re.escape(vertex.health), self._ready, 0),
                ("POST", re.escape(vertex.predict), self._predict, limits.vertex_bytes),
            ]
        self._table = [(method, re.compile(path), handler, size) for method, path, handler, size in table]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or hands it to the application underneath."""
        if scope["type"] != "http":
            return await self._beneath(scope, receive, send)
        allowed: list[str] = []
        for method, path, handler, size in self._table:
            match = path.fullmatch(scope["path"])
            if match and (method == scope["method"] or (method, scope["method"]) == ("GET", "HEAD")):
                parts = {key: value for key, value in match.groupdict().items() if value}
                return await self._serve(handler, parts, size, scope, receive, send)
            if match:
                allowed.append(method)
        if allowed:
            error = Answer(orjson.dumps({"error": f"use {' or '.join(allowed)} here"}), 405)
            error.headers["allow"] = ", ".join(allowed)
            return await _send(error, send)
        return await self._beneath(scope, receive, send)

    async def _serve(
        self, handler: Handler, path: dict[str, str], size: int, scope: Scope, receive: Receive, send: Send
    ) -> None:
        start = time.perf_counter()
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        request_id = _request_id(headers)
        try:
            body = await self._body(receive, headers, size or IDLE_BYTES)
            if body is None:
                return  # the client left while it was still sending
            request = Request(path, headers, body, request_id)
            answer = await _while_connected(handler(request), receive) if size else await handler(request)
        except ImagegraphError as error:
            answer = _error(error)
        except Exception as error:  # a fault of ours shall not look like a broken connection
            log.exception("request %s failed", request_id)
            answer = _error(ImagegraphError(f"{type(error).__name__}: {error}"))
        if size:
            self._metrics.request("rest", answer.status, time.perf_counter() - start)
            answer.headers["x-request-id"] = request_id
        await _send(answer, send)

    async def _body(self, receive: Receive, headers: dict[str, str], size: int) -> bytes | None:
        seconds = self._limits.timeout_s
        try:
            async with asyncio.timeout(seconds):
                return await _read(receive, headers, size)
        except TimeoutError:
            error = DeadlineExceeded(f"the body did not come within {seconds:g} s")
            error.status = 408
            raise error from None

    async def _infer(self, request: Request) -> Answer:
        start = time.perf_counter()
        asked = _decode(request)
        self._metrics.phase("decode", time.perf_counter() - start)
        answer = await self._service.infer(asked.messages, self._context(request))
        start = time.perf_counter()
        if asked.outputs is not None:
            answer = answer.only(asked.outputs)
        body, length = wire.encode(answer, "outputs", asked.binary)
        self._metrics.phase("encode", time.perf_counter() - start)
        if length is None:
            return Answer(body)
        return Answer(body, content_type=BINARY, headers={wire.HEADER_LENGTH.lower(): str(length)})

    async def _aggregate(self, request: Request) -> Answer:
        asked = _decode(request)
        answer = await self._service.aggregate(asked.messages, self._context(request))
        return Answer(wire.encode(answer, "outputs", binary=False)[0])

    async def _route(self, request: Request) -> Answer:
        asked = _decode(request)
        child = await self._service.route(asked.messages[0], self._context(request))
        return Answer(orjson.dumps([child]))

    async def _predict(self, request: Request) -> Answer:
        """V1 and Vertex AI: every instance is an object of inputs, `parameters` are inputs of all."""
        document = wire.parse(request.body)
        instances = document.get("instances") if isinstance(document, dict) else None
        if (
            not isinstance(instances, list)
            or not instances
            or not all(isinstance(i, dict) for i in instances)
        ):
            raise InvalidInput("instances", "one or more objects, each with inputs by name", instances)
        common = document.get("parameters", {})
        if not isinstance(common, dict):
            raise InvalidInput("parameters", "an object with inputs by name", common)
        messages = [Message({**common, **one}, id=request.id) for one in instances]
        answers = await asyncio.gather(
            *(self._service.infer([one], self._context(request)) for one in messages)
        )
        return Answer(wire.plain({"predictions": [one.values for one in answers]}))

    def _context(self, request: Request) -> Context:
        seconds = request.headers.get("x-request-timeout")
        try:
            timeout = self._limits.timeout_s if seconds is None else float(seconds)
        except ValueError:
            timeout = -1.0
        if not timeout > 0:
            raise InvalidInput("X-Request-Timeout", "a number of seconds", seconds)
        timeout = min(timeout, self._limits.timeout_s)
        pinned = request.headers.get("x-predictor")
        return Context(id=request.id, deadline=time.monotonic() + timeout, predictor=pinned)

    async def _model(self, request: Request) -> Answer:
        return Answer(orjson.dumps({**metadata(self._service), "name": request.path["model"]}))

    async def _models(self, request: Request) -> Answer:
        return Answer(orjson.dumps({"models": [self._service.name]}))

    async def _index(self, request: Request) -> Answer:
        state = "READY" if self._service.ready else "UNAVAILABLE"
        reason = str(self._service.failure or "")
        row = {"name": self._service.name, "version": "1", "state": state, "reason": reason}
        return Answer(orjson.dumps([row]))

    async def _server(self, request: Request) -> Answer:
        extensions = ["binary_tensor_data", "model_repository"]
        facts = {"name": "imagegraph", "version": imagegraph.__version__, "extensions": extensions}
        return Answer(orjson.dumps(facts))

    async def _live(self, request: Request) -> Answer:
        return Answer(orjson.dumps({"live": True}))

    async def _live_v1(self, request: Request) -> Answer:
        return Answer(orjson.dumps({"status": "alive"}))

    async def _ready(self, request: Request) -> Answer:
        ready = self._service.ready
        facts: dict[str, Any] = {"name": request.path.get("model", self._service.name), "ready": ready}
        if self._service.failure:
            facts["error"] = str(self._service.failure)
        return Answer(orjson.dumps(facts), 200 if ready else 503)

    async def _ready_v1(self, request: Request) -> Answer:
        facts = {"name": request.path["model"], "ready": self._service.ready}
        return Answer(orjson.dumps(facts), 200 if self._service.ready else 503)

    async def _openapi(self, request: Request) -> Answer:
        return Answer(orjson.dumps(openapi.document(self._service)))

    async def _metrics_page(self, request: Request) -> Answer:
        body, content_type = self._metrics.page(request.headers.get("accept", ""))
        return Answer(body, content_type=content_type)


def _decode(request: Request) -> wire.Request:
    length = request.headers.get(wire.HEADER_LENGTH.lower())
    if length is not None and not LENGTH.fullmatch(length):
        raise InvalidInput(wire.HEADER_LENGTH, "a number", length)
    return wire.decode_request(request.body, None if length is None else int(length))


def _request_id(headers: dict[str, str]) -> str:
    for name in ("x-request-id", "seldon-puid"):
        if REQUEST_ID.fullmatch(headers.get(name, "")):
            return headers[name]
    return Context().id


async def _read(receive: Receive, headers: dict[str, str], size: int) -> bytes | None:
    """Reads the body, at most `size` bytes; None when the client leaves."""
    announced = headers.get("content-length", "")
    if LENGTH.fullmatch(announced) and int(announced) > size:
        raise InputTooLarge("body", f"at most {size} bytes", f"{announced} bytes")
    chunks: list[bytes] = []
    total = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        chunk = event.get("body", b"")
        total += len(chunk)
        if total > size:
            raise InputTooLarge("body", f"at most {size} bytes", f"more than {total} bytes")
        chunks.append(chunk)
        if not event.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _while_connected(work: Awaitable[Answer], receive: Receive) -> Answer:
    """Awaits the work; cancels it when the client leaves."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Cancelled("the client closed the connection")
        return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def _error(error: ImagegraphError) -> Answer:
    headers = {"retry-after": "1"} if error.retryable else {}
    if error.status == 408:
        headers["connection"] = "close"
    return Answer(orjson.dumps({"error": str(error)}), error.status, headers=headers)


async def _send(answer: Answer, send: Send) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *((key.encode("latin-1"), value.encode("latin-1")) for key, value in answer.headers.items()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
