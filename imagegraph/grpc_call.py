"""The way to nodes in processes of their own over gRPC: V2 with raw contents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import grpc
from grpc import aio

from imagegraph import headers as beside
from imagegraph import wire_grpc
from imagegraph.engine import Context
from imagegraph.errors import (
    Cancelled,
    DeadlineExceeded,
    ImagegraphError,
    InvalidInput,
    Overloaded,
    Unavailable,
    Unsupported,
)
from imagegraph.graph import Node
from imagegraph.message import Message
from imagegraph.protocol import pb, stubs
from imagegraph.remote import ANSWER_S, nameless, noted, until

_KINDS: dict[str, type[ImagegraphError]] = {
    "CANCELLED": Cancelled,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNAVAILABLE": Unavailable,
    "UNIMPLEMENTED": Unsupported,
}
RECONNECT_S = 1.0
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # One connection a pod, where the name of a headless Service has several addresses.
    ("grpc.lb_policy_name", "round_robin"),
]


class GrpcCall:
    """Nodes behind V2 over gRPC. A caller that is cancelled cancels the call, which tells the node."""

    def __init__(self, targets: Mapping[str, str], timeouts_s: Mapping[str, float]) -> None:
        """Takes host:port of every node, and how long some nodes may take at most."""
        self._targets = targets
        self._timeouts_s = timeouts_s
        self._channels: dict[str, tuple[Any, Any]] = {}

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(*(channel.close() for channel, _ in self._channels.values()))

    async def ready(self) -> None:
        """Waits until every node has said once that it is ready."""

        async def ready(node: str) -> bool:
            request = pb.ModelReadyRequest(name=node)
            try:
                answer = await self._opened(node)[1].ModelReady(request, timeout=ANSWER_S)
            except aio.AioRpcError:
                return False  # no pod yet, or one that has just gone
            return bool(answer.ready)

        await asyncio.gather(*(until(partial(ready, node)) for node in self._targets))

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Calls ModelInfer; once more if nobody answered the first time."""
        request = wire_grpc.encode_request(message, node.name)
        channel, stub = self._opened(node.name)
        try:
            try:
                response = await self._ask(stub, node, request, context)
            except aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or _answered(error):
                    raise
                await _reconnected(channel)
                response = await self._ask(stub, node, request, context)
        except aio.AioRpcError as error:
            raise nameless(_error(error), node) from error
        try:
            answer = wire_grpc.decode_answer(response)
        except InvalidInput as error:
            raise ImagegraphError(f"answered no V2 response: {error}") from error
        return noted(node, answer, message.id, context)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Refuses: the protocol has no such call, and a manifest no such endpoint."""
        raise Unsupported("V2 over gRPC cannot ask a COMBINER")

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Refuses: the protocol has no such call, and a manifest no such endpoint."""
        raise Unsupported("V2 over gRPC cannot ask a ROUTER")

    def _opened(self, node: str) -> tuple[Any, Any]:
        if node not in self._channels:  # it belongs to the loop that runs the graph
            channel = aio.insecure_channel(self._targets[node], OPTIONS)
            self._channels[node] = (channel, stubs.GRPCInferenceServiceStub(channel))
        return self._channels[node]

    async def _ask(self, stub: Any, node: Node, request: Any, context: Context) -> Any:
        seconds = beside.seconds_left(context, self._timeouts_s.get(node.name))
        metadata = tuple(beside.write(context, seconds).items())
        return await stub.ModelInfer(request, timeout=seconds, metadata=metadata)


def _answered(error: aio.AioRpcError) -> bool:
    """Whether the status is the server's own: ours always says which request it answers."""
    return beside.REQUEST_ID in dict(error.trailing_metadata() or ())


async def _reconnected(channel: Any) -> None:
    try:
        await asyncio.wait_for(channel.channel_ready(), RECONNECT_S)
    except TimeoutError:
        return  # the second attempt says what is wrong


def _error(error: aio.AioRpcError) -> ImagegraphError:
    code = error.code().name
    status = dict(error.trailing_metadata() or ()).get(beside.STATUS)
    kind = _KINDS.get(code, ImagegraphError)
    if code == "RESOURCE_EXHAUSTED" and status == "503":
        kind = Overloaded
    ours = kind(str(error.details()))
    ours.status = int(status) if status else kind.status
    ours.code = code
    return ours
