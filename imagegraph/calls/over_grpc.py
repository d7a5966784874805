"""The way to nodes in processes of their own over gRPC: V2 with raw contents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from grpc import aio

from imagegraph.calls.over_http import ANSWER_S, VERSION_S, nameless, noted
from imagegraph.engine.context import Context
from imagegraph.errors import (
    Cancelled,
    DeadlineExceeded,
    ImagegraphError,
    Overloaded,
    Unavailable,
    Unsupported,
)
from imagegraph.message import Message
from imagegraph.spec import version
from imagegraph.spec.graph import Node
from imagegraph.wire import headers as beside
from imagegraph.wire import progress_frames, v2_grpc, v2_json
from imagegraph.wire.grpc_messages import SERVICE, StreamResponse, pb, stubs
from imagegraph.wire.http_post import decoded

_KINDS: dict[str, type[ImagegraphError]] = {
    "CANCELLED": Cancelled,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNAVAILABLE": Unavailable,
    "UNIMPLEMENTED": Unsupported,
}
RECONNECT_S = 2.0
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # One connection a pod, where the name of a headless Service has several addresses.
    ("grpc.lb_policy_name", "round_robin"),
    # Pods are no business of a proxy, whatever the environment says of the world outside.
    ("grpc.enable_http_proxy", 0),
    # A machine that dies does not say so: it is asked for a sign of life while a call is under way, however
    # long that takes, and given up after 6 s; so is one that takes no connection, after 2 s.
    ("grpc.keepalive_time_ms", 3000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.http2.ping_timeout_ms", 3000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.min_reconnect_backoff_ms", 2000),
]


class GrpcCall:
    """Nodes behind V2 over gRPC. A caller that is cancelled cancels the call, which tells the node."""

    def __init__(self, targets: Mapping[str, str], timeouts_s: Mapping[str, float]) -> None:
        """Takes host:port of every node, and how long some nodes may take at most."""
        self._targets = targets
        self._timeouts_s = timeouts_s
        self._lines: dict[str, _Line] = {}

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(*(line.channel.close() for line in self._lines.values()))

    async def unready(self) -> list[str]:
        """Asks every node once whether it is ready; returns those without a pod that says so."""

        async def ready(node: str) -> bool:
            request = pb.ModelReadyRequest(name=node)
            try:
                answer = await self._opened(node).stub.ModelReady(request, timeout=ANSWER_S)
            except aio.AioRpcError:
                return False  # no pod yet, or one that has just gone
            return bool(answer.ready)

        found = await asyncio.gather(*(ready(node) for node in self._targets))
        return [node for node, is_ready in zip(self._targets, found, strict=True) if not is_ready]

    async def version(self, node: Node) -> str:
        """Returns the version that the node names in its metadata, if it names one of ours."""
        request = pb.ModelMetadataRequest(name=node.name)
        try:
            answer = await self._opened(node.name).stub.ModelMetadata(request, timeout=VERSION_S)
        except aio.AioRpcError:
            return ""  # who cannot say it is asked for the answer, and says what is wrong
        return version.read(next(iter(answer.versions), ""))

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Calls ModelInfer, or ModelStreamInfer if the request is watched.

        Calls once more if nobody answered the first time.
        """
        await v2_json.encode_pictures(message.values)
        request = v2_grpc.encode_request(message, node.name)
        line = self._opened(node.name)
        try:
            try:
                answer = await self._ask(line, node, request, context)
            except aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or _answered(error):
                    raise
                if not await _reconnected(line.channel):
                    raise
                answer = await self._ask(line, node, request, context)
        except aio.AioRpcError as error:
            raise nameless(_error(error), node) from error
        return noted(node, answer, message.id, context)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Refuses: the protocol has no such call, and a manifest no such endpoint."""
        raise Unsupported("V2 over gRPC cannot ask a COMBINER")

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Refuses: the protocol has no such call, and a manifest no such endpoint."""
        raise Unsupported("V2 over gRPC cannot ask a ROUTER")

    def _opened(self, node: str) -> _Line:
        if node not in self._lines:  # it belongs to the loop that runs the graph
            self._lines[node] = _Line(aio.insecure_channel(self._targets[node], OPTIONS))
        return self._lines[node]

    async def _ask(self, line: _Line, node: Node, request: Any, context: Context) -> Message:
        seconds = beside.seconds_left(context, self._timeouts_s.get(node.name))
        metadata = tuple(beside.write(context, seconds).items())
        if context.listener:
            call = line.stream(request, timeout=seconds, metadata=metadata)
            answer = await _hear(call, node, context)
            if answer is not None:
                return answer
        response = await line.stub.ModelInfer(request, timeout=seconds, metadata=metadata)
        return decoded(v2_grpc.decode_answer, response)


class _Line:
    """A channel to one node, with the calls that it takes."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.stub = stubs.GRPCInferenceServiceStub(channel)
        # Of a stream both ways, only one request is sent: it goes out at once with the call.
        self.stream = channel.unary_stream(
            f"/{SERVICE}/ModelStreamInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=StreamResponse.FromString,
        )


async def _hear(call: Any, node: Node, context: Context) -> Message | None:
    """Tells of the steps in a stream, and returns the answer behind them; None if the node has no streams.

    Raises:
        AioRpcError: the node answered nothing.
        ImagegraphError: it broke off.
    """
    answer = None
    begun = False
    try:
        # To its end: who leaves before has cancelled the call.
        async for one in call:
            begun = True
            if one.error_message:
                raise ImagegraphError(one.error_message)
            message = decoded(v2_grpc.decode_answer, one.infer_response)
            if not progress_frames.told(message, node, context):
                answer = message
    except aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED and not _answered(error):
            return None
        if begun:
            raise nameless(_error(error), node) from error
        raise
    finally:
        call.cancel()
    if answer is None:
        raise Unavailable("the stream ended without an answer")
    return answer


def _answered(error: aio.AioRpcError) -> bool:
    """Whether the status is the server's own: ours always says which request it answers."""
    return beside.REQUEST_ID in dict(error.trailing_metadata() or ())


async def _reconnected(channel: Any) -> bool:
    """Waits for a while until some pod has taken a connection; returns whether one has."""
    try:
        await asyncio.wait_for(channel.channel_ready(), RECONNECT_S)
    except TimeoutError:
        return False
    return True


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
