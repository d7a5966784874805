"""The ways in: V2 over REST in binary, as JSON, as events, over gRPC; the studio's jobs and its gallery.

Each sends one request and returns what became of it; none tries again, since that would hide what is
measured.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp
import orjson

from imagegraph.answer import Answer
from imagegraph.client import AsyncClient
from imagegraph.errors import DeadlineExceeded, ImagegraphError, Unavailable
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.wire import v2_json
from imagegraph.wire.http_post import error as http_error
from imagegraph.wire.http_post import post, retry_after
from release.scenario import Way
from release.values import Values

LOST, LATE = "lost", "no answer in time"
GRPC_PORT = 8081
PAGES = ("pictures?limit=50", "pictures?limit=50&offset=50", "jobs", "graphs", "boards")


class Ended(NamedTuple):
    """What became of a request.

    Attributes:
        status: the HTTP status, be it over gRPC; 0 where nothing came.
        retry_after: whether a refusal said when to come back.
        predictor: the version that answered, where the release has several.
        words: what the server, or the connection, said of a failure.
    """

    status: int
    retry_after: bool = False
    predictor: str = ""
    words: str = ""


@dataclass(frozen=True)
class Target:
    """Who is asked.

    Attributes:
        url: of a graph's server, or of a studio.
        graph: a name that the server knows; empty: the one that it serves.
        grpc: host:port; empty: the same host's 8081.
        token: of a studio's user.
        photo: a picture to send, JPEG or PNG.
        given: values of all requests, by input.
    """

    url: str
    photo: bytes
    graph: str = ""
    grpc: str = ""
    token: str = ""
    given: Mapping[str, Any] | None = None


class Ways:
    """Connections to one target; use as an async context manager."""

    def __init__(self, target: Target, values: str, timeout_s: float) -> None:
        """Takes who is asked, what requests bring (see `Scenario.values`) and how long they may take."""
        self._target, self._kind, self._timeout_s = target, values, timeout_s
        self._url = target.url.rstrip("/")
        self._stack = AsyncExitStack()
        self._by_way: Mapping[Way, Callable[[int, str], Awaitable[Ended]]] = {
            "binary": self._binary,
            "json": self._as_json,
            "grpc": self._grpc,
            "stream": self._stream,
            "job": self._job,
            "gallery": self._gallery,
        }

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0)  # whoever is due is sent, however many wait
        headers = {"Authorization": f"Bearer {self._target.token}"} if self._target.token else {}
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, headers=headers)
        )
        self._client = await self._stack.enter_async_context(AsyncClient(self._url, connections=0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def learn(self, of_studio: bool) -> None:
        """Asks what the graph takes, before the first request is due.

        Raises:
            ImagegraphError: the server is not there, or knows no such graph.
            InvalidInput: nobody knows what the graph could be asked.
        """
        target = self._target
        if of_studio:
            graph = target.graph or next(
                one["name"] for one in await self._get("/api/graphs") if "image" in one["takes"]
            )
            inputs = [_as_tensor(one) for one in (await self._get(f"/api/graphs/{graph}"))["inputs"]]
        else:
            graph = target.graph or (await self._get("/v2/models"))["models"][0]
            inputs = (await self._client.metadata(graph))["inputs"]
        self._graph = graph
        self._values = Values(inputs, target.photo, target.given or {}, self._kind)

    async def open_grpc(self) -> None:
        """Opens a channel, if a way needs one."""
        from grpc import aio

        from imagegraph.wire.grpc_messages import stubs

        address = self._target.grpc or f"{urlsplit(self._url).hostname}:{GRPC_PORT}"
        options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
        channel = await self._stack.enter_async_context(aio.insecure_channel(address, options))
        self._stub = stubs.GRPCInferenceServiceStub(channel)

    async def send(self, way: Way, number: int, id: str) -> Ended:
        """Sends one request and waits for its answer.

        Args:
            number: makes its values.
            id: names it to the server, whose versions share requests by it.
        """
        try:
            return await asyncio.wait_for(self._by_way[way](number, id), self._timeout_s)
        except (TimeoutError, DeadlineExceeded) as error:
            late = isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError)
            return Ended(0, words=LATE) if late else Ended(504, words=str(error))
        except ImagegraphError as error:
            if isinstance(error.__cause__, (aiohttp.ClientError, OSError)):
                return Ended(0, words=f"{LOST}: {type(error.__cause__).__name__}")
            return Ended(error.status, error.retry_after_s is not None, words=str(error))
        except (aiohttp.ClientError, OSError) as error:
            return Ended(0, words=f"{LOST}: {type(error).__name__}")

    async def _binary(self, number: int, id: str) -> Ended:
        answer = await self._client.infer(self._graph, request_id=id, **self._values.of(number))
        return _ended(answer.parameters)

    async def _stream(self, number: int, id: str) -> Ended:
        values = self._values.of(number)
        async for one in self._client.stream(self._graph, request_id=id, **values):
            if isinstance(one, Answer):
                return _ended(one.parameters)
        return Ended(0, words=f"{LOST}: the stream ended without an answer")

    async def _as_json(self, number: int, id: str) -> Ended:
        body, _ = v2_json.encode(Message(self._values.of(number), id=id), binary=False)
        headers = {"Content-Type": "application/json", "X-Request-Id": id}
        url = f"{self._url}/v2/models/{self._graph}/infer"
        payload, length = await post(self._session, url, body, headers, self._timeout_s)
        return _ended(v2_json.decode(payload, length).parameters)

    async def _grpc(self, number: int, id: str) -> Ended:
        from grpc import StatusCode, aio

        from imagegraph.wire import v2_grpc

        request = v2_grpc.encode_request(Message(self._values.of(number), id=id), self._graph)
        try:
            answer = await self._stub.ModelInfer(
                request, timeout=self._timeout_s, metadata=(("x-request-id", id),)
            )
        except aio.AioRpcError as error:
            said = dict(error.trailing_metadata() or ())
            if "x-status" in said:  # the server's own
                # gRPC has no header for when to come back: UNAVAILABLE says that a client may.
                return Ended(int(said["x-status"]), said["x-status"] == "503", words=str(error.details()))
            late = error.code() is StatusCode.DEADLINE_EXCEEDED
            return Ended(0, words=LATE if late else f"{LOST}: {error.code().name}")
        return _ended(v2_grpc.decode_answer(answer).parameters)

    async def _job(self, number: int, id: str) -> Ended:
        """Begins a job of the studio and waits for its end."""
        inputs = {name: _in_json(value) for name, value in self._values.of(number).items()}
        url = f"{self._url}/api/graphs/{self._graph}/jobs?wait={min(self._timeout_s, 300):g}"
        async with self._session.post(url, json={"inputs": inputs}) as answer:
            said = await answer.read()
            if answer.status not in (200, 202):
                return _refused(answer, said)
        job = orjson.loads(said)
        if job["state"] == "done":
            return Ended(200)
        return Ended(500 if answer.status == 200 else 504, words=f"the job is {job['state']}: {job['error']}")

    async def _gallery(self, number: int, id: str) -> Ended:
        """Reads what the studio's page reads."""
        async with self._session.get(f"{self._url}/api/{PAGES[number % len(PAGES)]}") as answer:
            said = await answer.read()
            return Ended(200) if answer.status == 200 else _refused(answer, said)

    async def _get(self, path: str) -> Any:
        url = f"{self._url}{path}"
        try:
            async with self._session.get(url) as answer:
                said = await answer.read()
        except aiohttp.ClientError as error:
            raise Unavailable(f"cannot reach {url}: {error}") from error
        if answer.status != 200:
            raise http_error(answer.status, said)
        return orjson.loads(said)


def _ended(parameters: Mapping[str, Any]) -> Ended:
    return Ended(200, predictor=str(parameters.get("predictor", "")))


def _refused(answer: aiohttp.ClientResponse, said: bytes) -> Ended:
    said_when = retry_after(answer.headers.get("Retry-After")) is not None
    return Ended(answer.status, said_when, words=said[:200].decode("utf-8", "replace"))


def _in_json(value: Any) -> Any:
    """Returns a value as the studio takes it: pictures as base64."""
    if isinstance(value, list):
        return [_in_json(one) for one in value]
    return base64.b64encode(value.data).decode() if isinstance(value, Image) else value


def _as_tensor(field: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a field of a studio's form as V2 metadata would have it, as far as `Values` looks."""
    kind = field["kind"]
    facts: dict[str, Any] = {"required": field["required"]}
    if kind in ("image", "images"):
        facts["content_type"] = "image/*"
    return {
        "name": field["name"],
        "datatype": "BYTES" if kind in ("image", "images", "text", "texts") else kind,
        "shape": [-1] if kind in ("images", "texts") else [1],
        "parameters": facts,
    }
