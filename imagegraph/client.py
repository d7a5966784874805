"""A small client of what `imagegraph serve` serves, binary on the wire.

with Client("http://localhost:8080") as client:
    answer = client.infer("reimagine", image="photo.jpg", seed=7)
    answer.best.image.show()
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from imagegraph.answer import Answer as Answer
from imagegraph.codecs.anything import pictures
from imagegraph.engine.background import background
from imagegraph.errors import DeadlineExceeded, ImagegraphError, Unavailable, as_raised
from imagegraph.message import Message
from imagegraph.model import Model
from imagegraph.wire import v2_json
from imagegraph.wire.http_post import decoded, error, events, opened, post, read


@dataclass(frozen=True)
class Reference:
    """A value that a node wrote, kept by the server for a while; `AsyncClient.fetch` gets it."""

    href: str
    sha256: str
    bytes: int
    content_type: str


@dataclass(frozen=True)
class Step:
    """Something that happened at a node.

    Attributes:
        kind: started, progress, finished or failed.
        done, total: for progress.
        preview: the picture so far, if it was asked for and the node can draw it.
        seconds, cached: how long the call took; whether its result was known.
        outputs: for finished, what the node wrote: several references where a value is a list.
    """

    kind: str
    node: str
    done: int = 0
    total: int = 0
    preview: Reference | None = None
    seconds: float = 0.0
    cached: bool = False
    outputs: Mapping[str, Sequence[Reference]] = field(default_factory=dict)

    @classmethod
    def read(cls, kind: str, facts: Mapping[str, Any]) -> Step:
        """Makes one of the facts in an event."""

        def references(tensor: Mapping[str, Any]) -> list[Reference]:
            return [Reference(**one) for one in tensor["references"]]

        known = {
            name: facts[name] for name in ("node", "done", "total", "seconds", "cached") if name in facts
        }
        outputs = {one["name"]: references(one) for one in facts.get("outputs", ())}
        preview = references(facts["preview"])[0] if "preview" in facts else None
        return cls(kind, **known, preview=preview, outputs=outputs)


class AsyncClient:
    """Asks one server over pooled connections; use as an async context manager."""

    def __init__(self, url: str, connections: int = 100) -> None:
        """Takes the base URL, such as http://localhost:8080, and how many connections it may have; 0: any."""
        self._url = url.rstrip("/")
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._known: dict[str, Model] = {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=self._connections))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    async def ready(self) -> bool:
        """Returns whether the server is there and takes requests."""
        try:
            async with self._open().get(f"{self._url}/v2/health/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def metadata(self, model: str) -> dict[str, Any]:
        """Returns the V2 metadata: inputs and outputs with datatypes and shapes.

        Raises:
            ImagegraphError: the server has none.
        """
        return dict(orjson.loads(await self._get(f"/v2/models/{model}")))

    async def infer(
        self,
        model: str,
        *,
        request_id: str = "",
        timeout_s: float | None = None,
        predictor: str | None = None,
        cache: bool = True,
        **values: Any,
    ) -> Answer:
        """Asks for one answer.

        Args:
            values: inputs by name: pictures (a path, bytes, a Pillow picture, pixels, an `Image`), text,
                numbers, lists of them, arrays.
            timeout_s: how long to wait; the server stops working after it, too.
            predictor: which version of the graph shall answer.
            cache: whether a result that is known already will do.

        Raises:
            ImagegraphError: with the server's status and words; see `errors` for the kinds.
        """
        known = await self._about(model, timeout_s)
        values = pictures(values, known.pictures)
        body, headers = _request(values, request_id, timeout_s, predictor, {} if cache else {"cache": False})
        url = f"{self._url}/v2/models/{model}/infer"
        with _as_raised():
            payload, length = await post(self._open(), url, body, headers, timeout_s)
        return known.answer(decoded(v2_json.decode, payload, length), values)

    async def stream(
        self,
        model: str,
        *,
        request_id: str = "",
        timeout_s: float | None = None,
        predictor: str | None = None,
        cache: bool = True,
        previews: bool = False,
        **values: Any,
    ) -> AsyncGenerator[Step | Answer]:
        """Yields what happens at the nodes, if the server tells, and last the answer.

        Who stops looking stops the work.

        Args:
            values: see `infer`, as the others.
            previews: whether progress comes with the picture so far.

        Raises:
            ImagegraphError: as `infer`.
        """
        known = await self._about(model, timeout_s)
        values = pictures(values, known.pictures)
        parameters = ({} if cache else {"cache": False}) | ({"previews": True} if previews else {})
        body, headers = _request(values, request_id, timeout_s, predictor, parameters)
        url = f"{self._url}/v2/models/{model}/infer"
        headers["Accept"] = "text/event-stream"
        with _as_raised():
            async with opened(self._open(), url, body, headers, timeout_s) as answer:
                if answer.content_type != "text/event-stream":  # as of Seldon's executor, which has none
                    yield known.answer(decoded(v2_json.decode, *await read(answer)), values)
                    return
                async for kind, data in events(answer):
                    if kind == "answer":
                        yield known.answer(decoded(v2_json.decode, data), values)
                        return
                    facts = orjson.loads(data)
                    if kind == "error":
                        refused = error(facts["status"], data)
                        refused.retry_after_s = facts.get("retry_after")
                        raise refused
                    yield Step.read(kind, facts)
        raise Unavailable(f"{url} ended without an answer")

    async def fetch(self, reference: Reference) -> bytes:
        """Returns the value that a step refers to: an encoded picture, a text, or numbers as raw bytes.

        Raises:
            ImagegraphError: the server does not keep it any more, or is another one.
        """
        return await self._get(reference.href)

    async def _get(self, path: str) -> bytes:
        url = f"{self._url}{path}"
        try:
            async with self._open().get(url) as answer:
                content = await answer.read()
        except aiohttp.ClientError as cause:
            raise Unavailable(f"cannot reach {url}: {cause}") from cause
        if answer.status != 200:
            raise as_raised(error(answer.status, content))
        return content

    async def _about(self, model: str, timeout_s: float | None) -> Model:
        """Returns what the server says of a model, asked once."""
        if model not in self._known:
            try:
                self._known[model] = Model.read(await asyncio.wait_for(self.metadata(model), timeout_s))
            except TimeoutError as cause:
                raise DeadlineExceeded(f"no answer from {self._url} in time") from cause
        return self._known[model]

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise ImagegraphError("the client is not open: use it as a context manager, and within that")
        return self._session


class Client:
    """The same without async, also where a loop runs, as in notebooks; use as a context manager."""

    def __init__(self, url: str) -> None:
        """Takes the base URL, such as http://localhost:8080."""
        self._client = AsyncClient(url)

    def __enter__(self) -> Self:
        background.run(self._client.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        background.run(self._client.__aexit__(kind, error, trace))

    def ready(self) -> bool:
        """See `AsyncClient.ready`."""
        return background.run(self._client.ready())

    def metadata(self, model: str) -> dict[str, Any]:
        """See `AsyncClient.metadata`."""
        return background.run(self._client.metadata(model))

    def infer(self, model: str, **arguments: Any) -> Answer:
        """See `AsyncClient.infer`."""
        return background.run(self._client.infer(model, **arguments))

    def stream(self, model: str, **arguments: Any) -> Generator[Step | Answer]:
        """See `AsyncClient.stream`."""
        steps = self._client.stream(model, **arguments)
        try:
            while True:
                yield background.run(anext(steps))
        except StopAsyncIteration:
            return
        finally:
            background.run(steps.aclose())

    def fetch(self, reference: Reference) -> bytes:
        """See `AsyncClient.fetch`."""
        return background.run(self._client.fetch(reference))


def _request(
    values: Mapping[str, Any],
    request_id: str,
    timeout_s: float | None,
    predictor: str | None,
    parameters: Mapping[str, Any],
) -> tuple[bytes, dict[str, str]]:
    """Encodes a request; returns its body and headers."""
    asked = Message(values, id=request_id, parameters={v2_json.TIMINGS: True, **parameters})
    body, head = v2_json.encode(asked)
    headers = {"Content-Type": "application/octet-stream", v2_json.HEADER_LENGTH: str(head)}
    optional = {"X-Request-Id": request_id, "X-Predictor": predictor, "X-Request-Timeout": timeout_s}
    return body, headers | {name: str(value) for name, value in optional.items() if value}


@contextmanager
def _as_raised() -> Iterator[None]:
    """Raises a server's refusal as the error that it was there."""
    try:
        yield
    except ImagegraphError as error:
        if (made := as_raised(error)) is error:
            raise
        raise made from error
