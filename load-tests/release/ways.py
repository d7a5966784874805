"""The ways in: V2 over REST in binary, as JSON, as events, over gRPC; the studio's jobs and its gallery.

Each sends one request and returns what became of it; none tries again, since that would hide what is
measured.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import orjson

from imagegraph.answer import Answer
from imagegraph.client import AsyncClient
from imagegraph.errors import DeadlineExceeded, ImagegraphError, InvalidInput, Unavailable, UnknownName
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.model import Model
from imagegraph.wire import v2_json
from imagegraph.wire.http_post import decoded, post, retry_after
from imagegraph.wire.http_post import error as http_error
from release.scenario import Way
from release.values import Values

LOST, LATE = "lost", "no answer in time"
GRPC_PORT = 8081
TOKEN = "STUDIO_TOKEN"  # of the environment
PATIENCE_S = 10.0  # with what is asked before the first request is due
NOT_NOW = (502, 503, 504)  # of a server that begins, or of what is before it
Result = TypeVar("Result")
PAGES = ("pictures?limit=50", "pictures?limit=50&offset=50", "jobs", "graphs", "boards")


class Ended(NamedTuple):
    """What became of a request.

    Attributes:
        status: the HTTP status, be it over gRPC; 0 where nothing came.
        retry_after: whether a refusal said when to come back.
        predictor: the version that answered, where the release has several.
        words: what the server, or the connection, said of a failure, or what was wrong with its 200.
    """

    status: int
    retry_after: bool = False
    predictor: str = ""
    words: str = ""

    @property
    def answered(self) -> bool:
        """Whether it was an answer, and not only a status that promised one."""
        return self.status == 200 and not self.words


class Asked(NamedTuple):
    """Whom a request was sent to."""

    graph: str
    url: str

    def __str__(self) -> str:
        return f"{self.graph} at {self.url}" if self.graph else self.url


@dataclass(frozen=True)
class Target:
    """Who is asked.

    Attributes:
        url: of a graph's server, or of a studio.
        graph: a name of those that the server has; empty: the first of them.
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
        self._graph = target.graph
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

    @property
    def asked(self) -> Asked:
        """Who is asked; the graph's name is known once `learn` has asked for it."""
        return Asked(self._graph, self._url)

    async def learn(self, of_studio: bool) -> None:
        """Asks what the graph takes, before the first request is due.

        Raises:
            Unavailable: the server is not there, or not ready.
            UnknownName: it serves no graph of that name.
            InvalidInput: it is no such server, or nobody knows what the graph could be asked.
        """
        graph, target = self._graph, self._target
        if of_studio:
            kind = "a studio, whose gallery and jobs this scenario asks for"
            taken = await self._ask("/api/graphs", kind, _graphs)
            graph = graph or next((name for name, takes in taken.items() if "image" in takes), "")
            if graph not in taken:
                raise UnknownName("graph", graph, taken)
            inputs = await self._ask(f"/api/graphs/{graph}", kind, _form)
        else:
            kind = "a graph's server, which this scenario asks by V2"
            await self._be_ready()
            try:
                names = await self._ask("/v2/models", kind, _models)
            except InvalidInput:
                if not graph:
                    raise
                names = [graph]  # Seldon's executor and KServe's router do not say
            graph = graph or names[0]
            if graph not in names:  # a server of ours would answer to any name
                raise UnknownName(f"graph at {self._url}", graph, names)
            inputs = await self._ask(f"/v2/models/{graph}", kind, _inputs)
        self._graph = graph
        self._inputs = {one["name"] for one in inputs}
        self._values = Values(inputs, target.photo, target.given or {}, self._kind)

    async def _be_ready(self) -> None:
        """Raises Unavailable where a server says that it is not ready; some have nothing that says so."""
        status, said = await self._get("/v2/health/ready")
        if status in NOT_NOW:
            raise Unavailable(f"{self._url} is not ready: {http_error(status, said)}")

    async def open_grpc(self) -> None:
        """Opens a channel, and makes sure that the same graph is behind it.

        Raises:
            Unavailable: nobody is there.
            InvalidInput: it is another graph.
        """
        import grpc
        from grpc import aio

        from imagegraph.wire.grpc_messages import pb, stubs

        address = self._target.grpc or f"{urlsplit(self._url).hostname}:{GRPC_PORT}"
        options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
        channel = await self._stack.enter_async_context(aio.insecure_channel(address, options))
        self._stub = stubs.GRPCInferenceServiceStub(channel)
        try:
            about = await self._stub.ModelMetadata(
                pb.ModelMetadataRequest(name=self._graph), timeout=PATIENCE_S
            )
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return
            said = error.details() or error.code().name
            raise Unavailable(
                f"cannot reach gRPC at {address}: {said}; --grpc host:port says where that of {self._url} is"
            ) from error
        if (names := {one.name for one in about.inputs}) != self._inputs:
            expected = f"the gRPC of {self._url}, where the graph takes {', '.join(sorted(self._inputs))}"
            got = f"{address}, where it takes {', '.join(sorted(names))}"
            raise InvalidInput("--grpc host:port", expected, got)

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
            if isinstance(error.__cause__, InvalidInput):
                return Ended(200, words=str(error))
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
        return _ended(decoded(v2_json.decode, payload, length).parameters)

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
        return _ended(decoded(v2_grpc.decode_answer, answer).parameters)

    async def _job(self, number: int, id: str) -> Ended:
        """Begins a job of the studio and waits for its end."""
        inputs = {name: _in_json(value) for name, value in self._values.of(number).items()}
        url = f"{self._url}/api/graphs/{self._graph}/jobs?wait={min(self._timeout_s, 300):g}"
        async with self._session.post(url, json={"inputs": inputs}) as answer:
            said = await answer.read()
            if answer.status not in (200, 202):
                return _refused(answer, said)
        try:
            job = orjson.loads(said)
            state, why = job["state"], job["error"]
        except (ValueError, LookupError, TypeError):
            return Ended(answer.status, words=f"answered what is no job: {said[:80]!r}")
        if state == "done":
            return Ended(200)
        return Ended(500 if answer.status == 200 else 504, words=f"the job is {state}: {why}")

    async def _gallery(self, number: int, id: str) -> Ended:
        """Reads what the studio's page reads."""
        async with self._session.get(f"{self._url}/api/{PAGES[number % len(PAGES)]}") as answer:
            said = await answer.read()
            if answer.status != 200:
                return _refused(answer, said)
        try:
            orjson.loads(said)
        except ValueError:
            return Ended(200, words=f"answered what is no JSON: {said[:80]!r}")
        return Ended(200)

    async def _ask(self, path: str, kind: str, read: Callable[[Any], Result]) -> Result:
        """Returns what `read` finds in an answer's JSON.

        Raises:
            Unavailable: nobody is there, or not now.
            InvalidInput: whoever answers is not of that kind.
        """
        url = f"{self._url}{path}"
        status, said = await self._get(path)
        if status in NOT_NOW:
            raise Unavailable(f"{url} answered {status}: {http_error(status, said)}")
        if status in (401, 403):
            raise ImagegraphError(f"{url} answered {status}: {http_error(status, said)}; set {TOKEN}")
        if status != 200:
            raise InvalidInput(f"--host {self._url}", kind, f"{path}: status {status}")
        try:
            return read(orjson.loads(said))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            words = said[:40].decode("utf-8", "replace")
            raise InvalidInput(f"--host {self._url}", kind, f"{path}: {words}") from error

    async def _get(self, path: str) -> tuple[int, bytes]:
        url = f"{self._url}{path}"
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(PATIENCE_S)) as answer:
                return answer.status, await answer.read()
        except TimeoutError as error:
            raise Unavailable(f"no answer from {url} within {PATIENCE_S:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"cannot reach {url}: {error}") from error


def _models(said: Any) -> list[str]:
    """Reads which graphs a server has; there is at least one."""
    first, *others = map(str, said["models"])
    return [first, *others]


def _inputs(said: Any) -> list[dict[str, Any]]:
    """Reads what a graph takes out of its V2 metadata, of which our client reads more."""
    Model.read(said)
    return [dict(one) for one in said["inputs"]]


def _graphs(said: Any) -> dict[str, Sequence[str]]:
    """Reads which graphs a studio has, and what each takes."""
    return {one["name"]: one["takes"] for one in said}


def _form(said: Any) -> list[dict[str, Any]]:
    """Reads what a graph of a studio takes."""
    return [_as_tensor(one) for one in said["inputs"]]


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
