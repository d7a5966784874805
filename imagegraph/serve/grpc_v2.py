"""V2 over gRPC: the protocol's messages, our own servicer, the right status codes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
import orjson
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

import imagegraph
from imagegraph.errors import Cancelled, ImagegraphError, describe
from imagegraph.message import Message
from imagegraph.observe.request_log import Entry
from imagegraph.serve.grpc_health import HealthServicer
from imagegraph.serve.metadata import metadata
from imagegraph.serve.service import Service
from imagegraph.serve.watch import Happening
from imagegraph.wire import grpc_body, progress_frames, v2_grpc, v2_json
from imagegraph.wire import headers as beside
from imagegraph.wire.grpc_messages import SERVICE, StreamResponse, pb

log = logging.getLogger("imagegraph.grpc")

MAX_SILENCE_S = 20.0  # that a client may take to answer a ping


@dataclass
class Unread:
    """Stands for a request that was refused before it was parsed."""

    error: ImagegraphError
    id: str = ""


def _read(body: bytes) -> Any:
    """Returns the request; gRPC would have no words for an error here."""
    try:
        return grpc_body.read_request(body)
    except ImagegraphError as error:
        return Unread(error.with_traceback(None))  # whose frames would keep the body


class Servicer:
    """Answers GRPCInferenceService; a deadline and a cancelled call reach the work itself."""

    def __init__(self, service: Service, timeout_s: float) -> None:
        """Takes what to serve and the longest that a request may take."""
        self._service = service
        self._journal = service.journal
        self._metrics = service.journal.metrics
        self._timeout_s = timeout_s

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's names)
        """Says whether the process can go on."""
        return pb.ServerLiveResponse(live=not self._service.hang)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Says whether requests are welcome."""
        return pb.ServerReadyResponse(ready=self._service.ready)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Says whether requests are welcome."""
        return pb.ModelReadyResponse(ready=self._service.ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Says what server this is."""
        return pb.ServerMetadataResponse(name="imagegraph", version=imagegraph.__version__)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Says what goes in and out."""
        facts = metadata(self._service)

        def tensor(about: Mapping[str, Any]) -> Any:
            known = {name: about[name] for name in ("name", "datatype", "shape")}
            return pb.ModelMetadataResponse.TensorMetadata(**known)

        return pb.ModelMetadataResponse(
            name=request.name,
            versions=facts["versions"],
            platform=facts["platform"],
            inputs=[tensor(one) for one in facts["inputs"]],
            outputs=[tensor(one) for one in facts["outputs"]],
        )

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answers a request."""
        entry = self._open("ModelInfer", context)
        try:
            asked = self._decode(request)
            answer = self._encode(await self._service.infer(asked.messages, entry, asked.outputs), asked)
            context.set_trailing_metadata(tuple(entry.echo.items()))
            return answer
        except Exception as error:
            failure = _fault(error, entry)
            entry.fail(failure)
            self._refuse(failure, entry, context)
            return pb.ModelInferResponse()  # not sent
        except asyncio.CancelledError:
            entry.fail(Cancelled("the client cancelled the call"))
            raise
        finally:
            self._journal.close(entry)

    async def ModelStreamInfer(self, requests: Any, context: Any) -> AsyncGenerator[Any]:  # noqa: N802
        """Answers request after request, each with what happens until its answer, or with its error.

        What happens is a response without outputs, whose parameters `event` and `facts` (JSON) say it.
        An engine before us gets `steps` instead, and errors as ModelInfer has them.
        """
        # Closed, since gRPC's iterator of who leaves would keep his last request.
        async with aclosing(aiter(requests)) as received:
            async for request in received:
                async with aclosing(self._answers(request, context)) as answers:
                    async for answer in answers:
                        yield answer

    async def _answers(self, request: Any, context: Any) -> AsyncGenerator[Any]:
        """Answers one request of a stream."""
        by_engine = beside.PROGRESS in dict(context.invocation_metadata() or ())
        entry = self._open("ModelStreamInfer", context)
        request_id = request.id or entry.context.id
        try:
            asked = self._decode(request)
            watch = self._tell_steps(asked, entry) if by_engine else self._watch(asked, entry, request_id)
            async with aclosing(watch):
                async for response in watch:
                    yield StreamResponse(infer_response=response)
        except Exception as error:
            failure = _fault(error, entry)
            entry.fail(failure)
            if by_engine:
                self._refuse(failure, entry, context)
                return
            about = pb.ModelInferResponse(id=request_id)
            yield StreamResponse(error_message=str(failure), infer_response=about)
        except (asyncio.CancelledError, GeneratorExit):
            entry.fail(Cancelled("the client cancelled the call"))
            raise
        finally:
            self._journal.close(entry)

    async def _watch(self, asked: v2_json.Request, entry: Entry, request_id: str) -> AsyncGenerator[Any]:
        async with aclosing(self._service.watch(asked.messages, entry, asked.outputs)) as watch:
            async for one in watch:
                if isinstance(one, Message):
                    yield self._encode(one, asked)
                elif one.kind != "heartbeat":
                    yield self._event(one, request_id)

    async def _tell_steps(self, asked: v2_json.Request, entry: Entry) -> AsyncGenerator[Any]:
        async with aclosing(self._service.tell_steps(asked.messages, entry, asked.outputs)) as told:
            async for one in told:
                if progress_frames.EVENT in one.parameters:
                    yield v2_grpc.encode_answer(one)
                else:
                    yield self._encode(one, asked)

    def _open(self, method: str, call: Any) -> Entry:
        metadata = {key: value for key, value in call.invocation_metadata() or () if isinstance(value, str)}
        entry = self._journal.open("grpc", method, metadata)
        remaining = call.time_remaining()
        longest = self._timeout_s if remaining is None else min(remaining, self._timeout_s)
        entry.context.deadline = time.monotonic() + longest
        return entry

    def _decode(self, request: Any) -> v2_json.Request:
        if isinstance(request, Unread):
            raise request.error
        start = time.perf_counter()
        asked = v2_grpc.decode_request(request)
        self._metrics.phase("decode", time.perf_counter() - start)
        return asked

    def _encode(self, answer: Message, asked: v2_json.Request) -> Any:
        start = time.perf_counter()
        if asked.outputs is not None:
            answer = answer.only(asked.outputs)
        response = v2_grpc.encode_answer(answer)
        self._metrics.phase("encode", time.perf_counter() - start)
        return response

    def _event(self, happening: Happening, request_id: str) -> Any:
        response = pb.ModelInferResponse(id=request_id, model_name=self._service.name)
        facts = orjson.dumps(happening.facts).decode()
        v2_grpc.set_parameters(response, {"event": happening.kind, "facts": facts})
        return response

    def _refuse(self, error: ImagegraphError, entry: Entry, call: Any) -> None:
        """Sets what the call ends with; `abort` would keep an exception whose frames keep the request."""
        metadata = {**entry.echo, beside.STATUS: str(error.status)}
        if error.retryable:
            metadata["retry-after"] = "1"
        call.set_code(grpc.StatusCode[error.code])
        call.set_details(str(error))
        call.set_trailing_metadata(tuple(metadata.items()))


def _fault(error: Exception, entry: Entry) -> ImagegraphError:
    """Returns one of our own errors as it is, any other as a fault of ours."""
    if isinstance(error, ImagegraphError):
        return error
    log.exception("request %s failed", entry.context.id)
    return ImagegraphError(describe(error))


def _handlers(servicer: Servicer) -> dict[str, Any]:
    """Returns how each method that we have is read, answered and written."""
    stream = grpc.stream_stream_rpc_method_handler(
        servicer.ModelStreamInfer, _read, StreamResponse.SerializeToString
    )
    handlers = {"ModelStreamInfer": stream}
    for name in ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"):
        read = _read if name == "ModelInfer" else getattr(pb, f"{name}Request").FromString
        handlers[name] = grpc.unary_unary_rpc_method_handler(
            getattr(servicer, name), read, getattr(pb, f"{name}Response").SerializeToString
        )
    return handlers


async def start(service: Service, address: str, max_bytes: int, timeout_s: float) -> Any:
    """Starts the server at host:port; stop it with a grace period.

    Raises:
        ImagegraphError: the port is taken.
    """
    silence_ms = int(1000 * min(MAX_SILENCE_S, timeout_s))
    server = aio.server(
        options=[
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            # Who does not even answer a ping reads no answer either: its connection is closed.
            ("grpc.keepalive_time_ms", int(1000 * timeout_s)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.keepalive_timeout_ms", silence_ms),
            ("grpc.http2.ping_timeout_ms", silence_ms),
            # An engine asks so often for a sign of life; more often by half a minute's default is a fault.
            ("grpc.http2.min_ping_interval_without_data_ms", 1000),
        ]
    )
    handlers = _handlers(Servicer(service, timeout_s))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    health = HealthServicer(lambda: service.ready, (SERVICE,))
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise ImagegraphError(f"port {address.rpartition(':')[2]} is taken") from error
    await server.start()
    return server
