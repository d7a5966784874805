"""The way to nodes in processes of their own over HTTP: V2 REST, with the binary extension both ways."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence

import aiohttp
import orjson

from imagegraph.engine.context import Context, Method
from imagegraph.errors import ImagegraphError, Unavailable
from imagegraph.message import Message
from imagegraph.spec import version
from imagegraph.spec.graph import Node
from imagegraph.wire import headers as beside
from imagegraph.wire import progress_frames, v2_json
from imagegraph.wire.http_post import SILENCE_S, decoded, opened, post, read, refusal

# Shorter than servers keep idle connections, so that a request seldom meets one that is just closed.
KEEP_ALIVE_S = 4.0
ATTEMPTS = 2
ALIVE_S = (
    2,
    1,
)  # without a byte, before the other machine is asked for a sign of life; and between more such
ANSWER_S = 5.0  # that a pod may take to say whether it is ready
VERSION_S = 1.0  # and which version it is, for which requests wait


class HttpCall:
    """Nodes behind V2 REST. A caller that is cancelled closes its connection, which tells the node."""

    def __init__(self, endpoints: Mapping[str, str], timeouts_s: Mapping[str, float] | None = None) -> None:
        """Takes host:port of every node, and how long some nodes may take at most."""
        self._endpoints = endpoints
        self._timeouts_s = timeouts_s or {}
        self._session: aiohttp.ClientSession | None = None
        self._probes: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes the pooled connections."""
        for session in (self._session, self._probes):
            if session:
                await session.close()

    async def unready(self) -> list[str]:
        """Asks every node once whether it is ready; returns those without a pod that says so."""
        if self._probes is None:
            # Each probe on a connection of its own: one that is kept would ask the same pod for ever.
            timeout = aiohttp.ClientTimeout(total=ANSWER_S)
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            self._probes = aiohttp.ClientSession(connector=connector, timeout=timeout)
        probes = self._probes

        async def ready(node: str, address: str) -> bool:
            try:
                async with probes.get(f"http://{address}/v2/models/{node}/ready") as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False  # no pod yet, or one that has just gone

        found = await asyncio.gather(*(ready(*one) for one in self._endpoints.items()))
        return [node for node, is_ready in zip(self._endpoints, found, strict=True) if not is_ready]

    async def version(self, node: Node) -> str:
        """Returns the version that the node names in its metadata, if it names one of ours."""
        timeout = aiohttp.ClientTimeout(total=VERSION_S)
        try:
            url = f"http://{self._endpoints[node.name]}/v2/models/{node.name}"
            async with self._opened().get(url, timeout=timeout) as answer:
                return version.read(orjson.loads(await answer.read())["versions"][0])
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError, LookupError, TypeError):
            return ""  # who cannot say it is asked for the answer, and says what is wrong

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """POSTs /v2/models/NODE/infer, and tells of the node's steps if the request is watched."""
        await v2_json.encode_pictures(message.values)
        body, head = v2_json.encode(message, "inputs")
        url, headers, seconds = self._request(node, "infer", head, context)
        try:
            async with opened(self._opened(), url, body, headers, seconds, ATTEMPTS) as answer:
                if context.listener and answer.content_type == progress_frames.FRAMES:
                    told = await _hear(answer, node, context)
                else:
                    told = decoded(v2_json.decode, *await read(answer))
        except ImagegraphError as error:
            raise nameless(error, node) from error.__cause__
        return noted(node, told, message.id, context)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """POSTs /v2/models/NODE/aggregate with the list of answers."""
        for message in messages:
            await v2_json.encode_pictures(message.values)
        body, head = v2_json.encode_answers(messages)
        answer = await self._post(node, "aggregate", body, head, context)
        return noted(node, decoded(v2_json.decode, *answer), messages[0].id, context)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """POSTs /v2/models/NODE/route; the answer is a JSON list of one index."""
        await v2_json.encode_pictures(message.values)
        body, head = v2_json.encode(message, "inputs")
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
        url, headers, seconds = self._request(node, method, head, context)
        try:
            return await post(self._opened(), url, body, headers, seconds, ATTEMPTS)
        except ImagegraphError as error:
            raise nameless(error, node) from error.__cause__

    def _request(
        self, node: Node, method: Method, head: int | None, context: Context
    ) -> tuple[str, dict[str, str], float | None]:
        """Returns the URL and headers of a request, and how long its answer may take."""
        if node.name not in self._endpoints:
            raise ImagegraphError(f"no endpoint; endpoints: {sorted(self._endpoints)}")
        url = f"http://{self._endpoints[node.name]}/v2/models/{node.name}/{method}"
        seconds = beside.seconds_left(context, self._timeouts_s.get(node.name))
        headers = {
            "Content-Type": "application/octet-stream",
            v2_json.HEADER_LENGTH: str(head),
            **beside.write(context, seconds),
        }
        return url, headers, seconds

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:  # it belongs to the loop that runs the graph
            connector = aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEEP_ALIVE_S, socket_factory=_watched_socket
            )
            # Pods are no business of a proxy, whatever the environment says of the world outside.
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
        return self._session


def _watched_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Makes a socket that breaks when the other machine is silent, however long an answer takes."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # of Linux
        for option, seconds in zip((socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL), ALIVE_S, strict=True):
            made.setsockopt(socket.IPPROTO_TCP, option, seconds)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SILENCE_S * 1000))
    return made


async def _hear(answer: aiohttp.ClientResponse, node: Node, context: Context) -> Message:
    """Tells of the steps in a body of frames, and returns the answer behind them.

    Raises:
        ImagegraphError: that the node ended with in place of an answer.
    """
    content = answer.content
    while True:
        try:
            head, size = progress_frames.LENGTHS.unpack(
                await content.readexactly(progress_frames.LENGTHS.size)
            )
            message = decoded(v2_json.decode, await content.readexactly(size), head)
        except asyncio.IncompleteReadError as cause:
            raise Unavailable(f"{answer.url} ended without an answer") from cause
        if message.parameters.get(progress_frames.EVENT) == "error":
            raise refusal(message.parameters["status"], message.parameters["error"])
        if not progress_frames.told(message, node, context):
            await content.read()  # to its end: who leaves before has given up
            return message


def noted(node: Node, answer: Message, request_id: str, context: Context) -> Message:
    """Notes what a node says of its answer, and returns the answer as that of our request."""
    if "cache_hits" in answer.parameters:
        context.cache_hits.append(node.name)
    return Message(answer.values, request_id, node.name, answer.parameters, version.read(answer.version))


def nameless(error: ImagegraphError, node: Node) -> ImagegraphError:
    """Takes the node's name off the words of its own error: the engine puts it there."""
    error.args = tuple(str(one).removeprefix(f"node '{node.name}': ") for one in error.args)
    return error
