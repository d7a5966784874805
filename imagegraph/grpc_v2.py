"""V2 over gRPC: KServe's protocol messages, our own servicer, the right status codes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc
import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc import aio

import imagegraph
from imagegraph import headers as beside
from imagegraph import wire, wire_grpc
from imagegraph.errors import Cancelled, ImagegraphError
from imagegraph.journal import Entry
from imagegraph.message import Message
from imagegraph.protocol import pb, stubs
from imagegraph.service import Service, metadata
from imagegraph.streaming import Happening

log = logging.getLogger("imagegraph.grpc")


class Servicer(stubs.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers GRPCInferenceService; a deadline and a cancelled call reach the work itself."""

    def __init__(self, service: Service, timeout_s: float) -> None:
        """Takes what to serve and the longest that a request may take."""
        self._service = service
        self._journal = service.journal
        self._metrics = service.journal.metrics
        self._timeout_s = timeout_s

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's names)
        """Says that the process answers."""
        return pb.ServerLiveResponse(live=True)

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
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=facts["versions"],
            platform=facts["platform"],
            inputs=[tensor(**one) for one in facts["inputs"]],
            outputs=[tensor(**one) for one in facts["outputs"]],
        )

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answers a request."""
        entry = self._open("ModelInfer", context)
        try:
            asked = self._decode(request)
            answer = self._encode(await self._service.infer(asked.messages, entry), asked)
            context.set_trailing_metadata(tuple(entry.echo.items()))
            return answer
        except Exception as error:
            entry.error = _fault(error, entry)
            await self._abort(entry.error, entry, context)
        except asyncio.CancelledError:
            entry.error = Cancelled("the client cancelled the call")
            raise
        finally:
            self._journal.close(entry, entry.error.status if entry.error else 200)

    async def ModelStreamInfer(self, requests: Any, context: Any) -> AsyncGenerator[Any]:  # noqa: N802
        """Answers request after request, each with what happens until its answer, or with its error.

        What happens is a response without outputs, whose parameters `event` and `facts` (JSON) say it.
        """
        async for request in requests:
            entry = self._open("ModelStreamInfer", context)
            request_id = request.id or entry.context.id
            try:
                asked = self._decode(request)
                watch = self._service.watch(asked.messages, entry)
                async with aclosing(watch):
                    async for one in watch:
                        if isinstance(one, Message):
                            yield StreamResponse(infer_response=self._encode(one, asked))
                        elif one.kind != "heartbeat":
                            yield StreamResponse(infer_response=self._event(one, request_id))
            except Exception as error:
                entry.error = _fault(error, entry)
                about = pb.ModelInferResponse(id=request_id)
                yield StreamResponse(error_message=str(entry.error), infer_response=about)
            except (asyncio.CancelledError, GeneratorExit):
                entry.error = Cancelled("the client cancelled the call")
                raise
            finally:
                self._journal.close(entry, entry.error.status if entry.error else 200)

    def _open(self, method: str, call: Any) -> Entry:
        metadata = {key: value for key, value in call.invocation_metadata() or () if isinstance(value, str)}
        entry = self._journal.open("grpc", method, metadata)
        remaining = call.time_remaining()
        longest = self._timeout_s if remaining is None else min(remaining, self._timeout_s)
        entry.context.deadline = time.monotonic() + longest
        return entry

    def _decode(self, request: Any) -> wire.Request:
        start = time.perf_counter()
        asked = wire_grpc.decode_request(request)
        self._metrics.phase("decode", time.perf_counter() - start)
        return asked

    def _encode(self, answer: Message, asked: wire.Request) -> Any:
        start = time.perf_counter()
        if asked.outputs is not None:
            answer = answer.only(asked.outputs)
        response = wire_grpc.encode_answer(answer)
        self._metrics.phase("encode", time.perf_counter() - start)
        return response

    def _event(self, happening: Happening, request_id: str) -> Any:
        response = pb.ModelInferResponse(id=request_id, model_name=self._service.name)
        facts = orjson.dumps(happening.facts).decode()
        wire_grpc.set_parameters(response, {"event": happening.kind, "facts": facts})
        return response

    async def _abort(self, error: ImagegraphError, entry: Entry, call: Any) -> None:
        metadata = {**entry.echo, beside.STATUS: str(error.status)}
        if error.retryable:
            metadata["retry-after"] = "1"
        await call.abort(grpc.StatusCode[error.code], str(error), tuple(metadata.items()))


def _fault(error: Exception, entry: Entry) -> ImagegraphError:
    """Returns one of our own errors as it is, any other as a fault of ours."""
    if isinstance(error, ImagegraphError):
        return error
    log.exception("request %s failed", entry.context.id)
    return ImagegraphError(f"{type(error).__name__}: {error}")


def _stream_response() -> Any:
    """Makes the class of ModelStreamInferResponse, which KServe's protocol file leaves out.

    Source: Triton's grpc_service.proto; its clients' `start_stream` reads these messages.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="imagegraph/stream.proto", package="imagegraph", syntax="proto3"
    )
    file.dependency.append(pb.DESCRIPTOR.name)
    message = file.message_type.add(name="ModelStreamInferResponse")
    field = descriptor_pb2.FieldDescriptorProto
    optional = field.LABEL_OPTIONAL
    message.field.add(name="error_message", number=1, type=field.TYPE_STRING, label=optional)
    message.field.add(
        name="infer_response",
        number=2,
        type=field.TYPE_MESSAGE,
        type_name=f".{pb.ModelInferResponse.DESCRIPTOR.full_name}",
        label=optional,
    )
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("imagegraph.ModelStreamInferResponse"))


StreamResponse = _stream_response()


async def start(service: Service, port: int, max_bytes: int, timeout_s: float) -> Any:
    """Starts the server; stop it with a grace period.

    Raises:
        ImagegraphError: the port is taken.
    """
    server = aio.server(
        options=[
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
    )
    servicer = Servicer(service, timeout_s)
    stubs.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    stream = grpc.stream_stream_rpc_method_handler(
        servicer.ModelStreamInfer, pb.ModelInferRequest.FromString, StreamResponse.SerializeToString
    )
    name = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
    more = grpc.method_handlers_generic_handler(name, {"ModelStreamInfer": stream})
    server.add_generic_rpc_handlers((more,))
    if not server.add_insecure_port(f"[::]:{port}"):
        raise ImagegraphError(f"port {port} is taken")
    await server.start()
    return server
