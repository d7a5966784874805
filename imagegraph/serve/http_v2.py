"""V2 over HTTP: what each path answers. Bodies are decoded and encoded here; pictures stay bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from starlette.middleware.cors import CORSMiddleware

from imagegraph.engine import walk
from imagegraph.errors import ImagegraphError
from imagegraph.message import Message
from imagegraph.serve.asgi import RETRY_AFTER_S, Answer, Application, Handler, Request, Route, Stream, Table
from imagegraph.serve.http_about import About, Health
from imagegraph.serve.kept_values import PATH, content_type
from imagegraph.serve.service import Service
from imagegraph.serve.watch import Happening
from imagegraph.wire import headers as beside
from imagegraph.wire import progress_frames, v2_json
from imagegraph.wire.v1 import instances, predictions

BINARY = "application/octet-stream"
EVENTS = "text/event-stream"
LARGE_BYTES = 2**20  # of a body; less is decoded in less time than a thread takes

One = TypeVar("One")


@dataclass(frozen=True)
class Limits:
    """What a request may cost.

    Attributes:
        body_bytes: largest body.
        vertex_bytes: largest body on Vertex AI's route; its public endpoints allow no more.
        timeout_s: longest that a request may take, and what it gets by default.
        instances: most of one V1 request, each of which is a request by itself.
    """

    body_bytes: int = 64 * 2**20
    vertex_bytes: int = 10 * 2**20
    timeout_s: float = 600.0
    instances: int = 128


@dataclass(frozen=True)
class Vertex:
    """The routes that Vertex AI asks for by AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE."""

    health: str
    predict: str


def application(
    service: Service, limits: Limits, vertex: Vertex | None, cors_origins: Sequence[str] = ()
) -> Application:
    """Makes the application.

    Args:
        cors_origins: of the pages in browsers that may ask; "*" is any.
    """
    work, health, about = Work(service, limits), Health(service), About(service)
    model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    verbs: list[tuple[str, Handler]] = [
        ("/infer", work.infer),
        ("/aggregate", work.aggregate),
        ("/route", work.route),
    ]
    # Seldon's executor asks without a model's name when its client did.
    routes = [
        Route("POST", base + verb, handler, limits.body_bytes)
        for base in (model, "/v2/models", version)
        for verb, handler in verbs
    ]
    routes += [
        Route("POST", "/v1/models/{model}:predict", work.predict, limits.body_bytes),
        Route("GET", PATH + "{sha256}", work.result),
        Route("GET", model, about.model),
        Route("GET", version, about.model),
        Route("GET", model + "/ready", health.ready),
        Route("GET", version + "/ready", health.ready),
        Route("GET", "/v1/models/{model}", health.ready_v1),
        Route("GET", "/v2/models", about.models),
        Route("GET", "/v1/models", about.models),
        Route("POST", "/v2/repository/index", about.index, limits.body_bytes),
        Route("GET", "/v2", about.server),
        Route("GET", "/v2/health/live", health.live),
        Route("GET", "/", health.live_v1),
        Route("GET", "/v2/health/ready", health.ready),
        Route("GET", "/metrics", about.metrics),
        Route("GET", "/prometheus", about.metrics),
        Route("GET", "/openapi.json", about.openapi),
    ]
    if vertex:
        routes += [
            Route("GET", vertex.health, health.ready),
            Route("POST", vertex.predict, work.predict, limits.vertex_bytes),
        ]
    table = Table(routes, service.journal, limits.timeout_s)
    if not cors_origins:
        return table
    return CORSMiddleware(
        table,
        allow_origins=cors_origins,
        allow_methods=("GET", "POST"),
        allow_headers=("*",),
        expose_headers=(beside.REQUEST_ID, v2_json.HEADER_LENGTH, "Retry-After"),
    )


class Work:
    """What has something computed."""

    def __init__(self, service: Service, limits: Limits) -> None:
        """Takes what to serve."""
        self._service = service
        self._metrics = service.journal.metrics
        self._limits = limits

    async def infer(self, request: Request) -> Answer | Stream:
        """Answers a V2 request, or says what happens until it does."""
        asked = await self._decode(request)
        if beside.PROGRESS in request.headers:
            return await self._tell_steps(request, asked)
        # Seldon's executor hands a client's Accept to every node, and can read no events of theirs.
        by_executor = beside.SELDON_ID in request.headers
        if EVENTS in request.headers.get("accept", "") and not by_executor:
            return await self._watch(request, asked)
        answer = await self._service.infer(asked.messages, request.entry, asked.outputs)
        return self._encode(answer, asked)

    async def _watch(self, request: Request, asked: v2_json.Request) -> Stream:
        happenings = self._service.watch(asked.messages, request.entry, asked.outputs)

        def write(one: Happening | Message) -> bytes:
            if isinstance(one, Happening):
                return _event(one)
            return b"event: answer\ndata: " + self._encode(one, asked, binary=False).body + b"\n\n"

        def refuse(error: ImagegraphError) -> bytes:
            facts: dict[str, Any] = {"error": str(error), "status": error.status}
            if error.retryable:  # as the header, which is sent already
                facts["retry_after"] = RETRY_AFTER_S
            return b"event: error\ndata: " + orjson.dumps(facts) + b"\n\n"

        # Until something happens, the request can still be refused with a status.
        first = await anext(happenings)
        return Stream(_pieces(first, happenings, write), EVENTS, refuse)

    async def _tell_steps(self, request: Request, asked: v2_json.Request) -> Answer | Stream:
        """Answers the engine before us: with frames once there is a step, else as ever."""
        told = self._service.tell_steps(asked.messages, request.entry, asked.outputs)

        def write(one: Message) -> bytes:
            if asked.outputs is not None and progress_frames.EVENT not in one.parameters:
                one = one.only(asked.outputs)
            return progress_frames.frame(*v2_json.encode(one, "outputs"))

        def refuse(error: ImagegraphError) -> bytes:
            return progress_frames.frame(
                *v2_json.encode(progress_frames.failure(error.status, str(error)), "outputs")
            )

        first = await anext(told)
        if progress_frames.EVENT in first.parameters:
            return Stream(_pieces(first, told, write), progress_frames.FRAMES, refuse)
        await told.aclose()
        return self._encode(first, asked)

    async def aggregate(self, request: Request) -> Answer:
        """Unites the answers of children, for whoever runs the graph."""
        asked = await self._decode(request)
        return self._encode(await self._service.aggregate(asked.messages, request.entry), asked)

    async def route(self, request: Request) -> Answer:
        """Chooses a child, for whoever runs the graph."""
        asked = await self._decode(request)
        child = await self._service.route(asked.messages[0], request.entry)
        return Answer(orjson.dumps([child]))

    async def predict(self, request: Request) -> Answer:
        """Answers V1 and Vertex AI."""
        self._limit(request)
        context = request.entry.context
        messages = await _decoded(instances, request.body, context.id, self._limits.instances)
        if len(messages) > 1:
            await self._service.check(messages, request.entry)
        # One that fails ends the others, which would be computed for nobody.
        answers = await walk.gather([self._service.infer([one], request.entry) for one in messages])
        start = time.perf_counter()
        interface = self._service.interface
        body = predictions(answers, {**interface.inputs, **interface.outputs})
        self._metrics.phase("encode", time.perf_counter() - start)
        return Answer(body)

    async def result(self, request: Request) -> Answer:
        """Hands out a value that an event referred to."""
        digest = request.path["sha256"]
        content = await self._service.references.fetch(digest)
        headers = {
            "etag": f'"{digest}"',
            "cache-control": "private, max-age=3600, immutable",
            "x-content-type-options": "nosniff",
        }
        return Answer(content, content_type=content_type(content), headers=headers)

    async def _decode(self, request: Request) -> v2_json.Request:
        start = time.perf_counter()
        self._limit(request)
        length = v2_json.header_length(request.headers.get(v2_json.HEADER_LENGTH.lower()))
        asked = await _decoded(v2_json.decode_request, request.body, length)
        self._metrics.phase("decode", time.perf_counter() - start)
        return asked

    def _limit(self, request: Request) -> None:
        request.entry.context.deadline = beside.deadline(request.headers, self._limits.timeout_s)

    def _encode(self, answer: Message, asked: v2_json.Request, binary: bool | None = None) -> Answer:
        start = time.perf_counter()
        if asked.outputs is not None:
            answer = answer.only(asked.outputs)
        body, length = v2_json.encode(answer, "outputs", asked.binary if binary is None else binary)
        self._metrics.phase("encode", time.perf_counter() - start)
        if length is None:
            return Answer(body)
        return Answer(body, content_type=BINARY, headers={v2_json.HEADER_LENGTH.lower(): str(length)})


async def _decoded(decode: Callable[..., One], body: bytes, *others: Any) -> One:
    """Decodes a body; a large one in a thread, so that others are answered meanwhile."""
    return (
        await asyncio.to_thread(decode, body, *others) if len(body) > LARGE_BYTES else decode(body, *others)
    )


def _event(happening: Happening) -> bytes:
    if happening.kind == "heartbeat":
        return b": still at work\n\n"  # keeps proxies from closing the connection
    return b"event: %s\ndata: %s\n\n" % (happening.kind.encode(), orjson.dumps(happening.facts))


async def _pieces(
    first: One, others: AsyncGenerator[One], write: Callable[[One], bytes]
) -> AsyncGenerator[bytes]:
    """Writes one thing after the other."""
    async with aclosing(others):
        yield write(first)
        async for one in others:
            yield write(one)
