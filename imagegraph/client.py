"""A small client of what `imagegraph serve` serves, binary on the wire.

with Client("http://localhost:8080") as client:
answer = client.infer("reimagine", image=Image(Path("photo.jpg").read_bytes()), seed=7)
answer["pictures"][0].rgb().show()
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from imagegraph import wire
from imagegraph.image import Image
from imagegraph.message import Message, Tensor
from imagegraph.transport import post

PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")


@dataclass(frozen=True)
class Answer(Mapping[str, Any]):
    """The values of an answer by name: pictures, texts, numbers, lists of them, arrays."""

    values_by_name: Mapping[str, Any]
    id: str
    parameters: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)


class AsyncClient:
    """Asks one server over pooled connections; use as an async context manager."""

    def __init__(self, url: str) -> None:
        """Takes the base URL, such as http://localhost:8080."""
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def ready(self) -> bool:
        """Returns whether the server is there and takes requests."""
        try:
            async with self._open().get(f"{self._url}/v2/health/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def metadata(self, model: str) -> dict[str, Any]:
        """Returns the V2 metadata: inputs and outputs with datatypes and shapes."""
        async with self._open().get(f"{self._url}/v2/models/{model}") as answer:
            return dict(orjson.loads(await answer.read()))

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
            values: inputs by name: `Image`, text, numbers, lists of them, arrays.
            timeout_s: how long to wait; the server stops working after it, too.
            predictor: which version of the graph shall answer.
            cache: whether a result that is known already will do.

        Raises:
            ImagegraphError: with the server's status and words; see `errors` for the kinds.
        """
        parameters = {} if cache else {"cache": False}
        body, head = wire.encode(Message(values, id=request_id, parameters=parameters))
        headers = {"Content-Type": "application/octet-stream", wire.HEADER_LENGTH: str(head)}
        optional = {"X-Request-Id": request_id, "X-Predictor": predictor, "X-Request-Timeout": timeout_s}
        headers |= {name: str(value) for name, value in optional.items() if value}
        url = f"{self._url}/v2/models/{model}/infer"
        payload, length = await post(self._open(), url, body, headers, timeout_s)
        message = wire.decode(payload, length)
        found = {name: plain(value) for name, value in message.values.items()}
        return Answer(found, message.id, message.parameters)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the client as a context manager")
        return self._session


class Client:
    """The same without async; use as a context manager."""

    def __init__(self, url: str) -> None:
        """Takes the base URL, such as http://localhost:8080."""
        self._client = AsyncClient(url)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.run(self._client.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._client.__aexit__(kind, error, trace))
        self._runner.close()

    def ready(self) -> bool:
        """See `AsyncClient.ready`."""
        return self._runner.run(self._client.ready())

    def metadata(self, model: str) -> dict[str, Any]:
        """See `AsyncClient.metadata`."""
        return self._runner.run(self._client.metadata(model))

    def infer(self, model: str, **arguments: Any) -> Answer:
        """See `AsyncClient.infer`."""
        return self._runner.run(self._client.infer(model, **arguments))


def plain(tensor: Tensor) -> Any:
    """Returns a tensor's value as Python has it: a scalar for shape [1], a list for [n], else an array."""
    if tensor.datatype != "BYTES" and len(tensor.shape) != 1:
        return tensor.array()
    if tensor.datatype == "BYTES":
        items = [_text_or_picture(item) for item in tensor.data]
    else:
        items = tensor.array().tolist()
    return items[0] if tensor.shape == (1,) else items


def _text_or_picture(item: bytes | str) -> Any:
    if isinstance(item, str):
        return item
    return Image(item) if item.startswith(PICTURES) else item.decode("utf-8", "replace")
