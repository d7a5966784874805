"""The way to nodes in processes of their own over HTTP: V2 REST, with the binary extension both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import aiohttp
import orjson

from imagegraph import headers as beside
from imagegraph import wire
from imagegraph.engine import Context, Method
from imagegraph.errors import ImagegraphError, InvalidInput
from imagegraph.graph import Node
from imagegraph.message import Message
from imagegraph.transport import post

# Shorter than servers keep idle connections, so that a request seldom meets one that is just closed.
KEEP_ALIVE_S = 4.0
ATTEMPTS = 2
PROBE_S = 0.5
ANSWER_S = 5.0  # that a pod may take to say whether it is ready


class HttpCall:
    """Nodes behind V2 REST. A caller that is cancelled closes its connection, which tells the node."""

    def __init__(self, endpoints: Mapping[str, str], timeouts_s: Mapping[str, float] | None = None) -> None:
        """Takes host:port of every node, and how long some nodes may take at most."""
        self._endpoints = endpoints
        self._timeouts_s = timeouts_s or {}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes the pooled connections."""
        if self._session:
            await self._session.close()

    async def ready(self) -> None:
        """Waits until every node has said once that it is ready."""

        async def ready(node: str, address: str) -> bool:
            timeout = aiohttp.ClientTimeout(total=ANSWER_S)
            try:
                url = f"http://{address}/v2/models/{node}/ready"
                async with self._opened().get(url, timeout=timeout) as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False  # no pod yet, or one that has just gone

        await asyncio.gather(*(until(partial(ready, *one)) for one in self._endpoints.items()))

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """POSTs /v2/models/NODE/infer."""
        body, head = wire.encode(message, "inputs")
        return answered(node, *await self._post(node, "infer", body, head, context), message.id, context)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """POSTs /v2/models/NODE/aggregate with the list of answers."""
        body, head = wire.encode_answers(messages)
        answer, length = await self._post(node, "aggregate", body, head, context)
        return answered(node, answer, length, messages[0].id, context)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """POSTs /v2/models/NODE/route; the answer is a JSON list of one index."""
        body, head = wire.encode(message, "inputs")
        answer, _ = await self._post(node, "route", body, head, context)
        try:
            choice = orjson.loads(answer)
        except orjson.JSONDecodeError:
            choice = None
        if not (isinstance(choice, list) and len(choice) == 1 and type(choice[0]) is int):
            raise ImagegraphError(f"answered {answer[:80]!r}, not a JSON list of one index")
        return choice[0]

    async def _post(
        self, node: Node, method: Method, body: bytes, head: int | None, context: Context
    ) -> tuple[bytes, int | None]:
        if node.name not in self._endpoints:
            raise ImagegraphError(f"no endpoint; endpoints: {sorted(self._endpoints)}")
        url = f"http://{self._endpoints[node.name]}/v2/models/{node.name}/{method}"
        seconds = beside.seconds_left(context, self._timeouts_s.get(node.name))
        headers = {
            "Content-Type": "application/octet-stream",
            wire.HEADER_LENGTH: str(head),
            **beside.write(context, seconds),
        }
        try:
            return await post(self._opened(), url, body, headers, seconds, ATTEMPTS)
        except ImagegraphError as error:
            raise nameless(error, node) from error.__cause__

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:  # it belongs to the loop that runs the graph
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    """Asks again and again until the answer is yes."""
    while not await ready():
        await asyncio.sleep(PROBE_S)


def answered(
    node: Node, body: bytes, header_length: int | None, request_id: str, context: Context
) -> Message:
    """Decodes what a node answered.

    Raises:
        ImagegraphError: it is no V2 response, which is the node's fault and not that of who asked us.
    """
    try:
        decoded = wire.decode(body, header_length)
    except InvalidInput as error:
        raise ImagegraphError(f"answered no V2 response: {error}") from error
    return noted(node, decoded, request_id, context)


def noted(node: Node, answer: Message, request_id: str, context: Context) -> Message:
    """Notes what a node says of its answer, and returns the answer as that of our request."""
    if "cache_hits" in answer.parameters:
        context.cache_hits.append(node.name)
    return Message(answer.values, request_id, node.name, answer.parameters)


def nameless(error: ImagegraphError, node: Node) -> ImagegraphError:
    """Takes the node's name off the words of its own error: the engine puts it there."""
    error.args = tuple(str(one).removeprefix(f"node '{node.name}': ") for one in error.args)
    return error
