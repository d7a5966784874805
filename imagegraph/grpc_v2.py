"""V2 over gRPC: KServe's protocol messages, our own servicer, the right status codes."""

from __future__ import annotations

import logging
import time
from typing import Any

import grpc
from grpc import aio

import imagegraph
from imagegraph import wire_grpc
from imagegraph.engine import Context
from imagegraph.errors import ImagegraphError
from imagegraph.protocol import pb, stubs
from imagegraph.service import Service, metadata

log = logging.getLogger("imagegraph.request")


class Servicer(stubs.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers GRPCInferenceService; a deadline and a cancelled call reach the work itself."""

    def __init__(self, service: Service, timeout_s: float) -> None:
        """Takes what to serve and the longest that a request may take."""
        self._service = service
        self._metrics = service.metrics
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
        start = time.perf_counter()
        status = 200
        try:
            return await self._infer(request, context)
        except ImagegraphError as error:
            status = error.status
            if error.retryable:
                context.set_trailing_metadata([("retry-after", "1")])
            await context.abort(grpc.StatusCode[error.code], str(error))
        except aio.AbortError:
            raise
        except Exception as error:
            status = 500
            log.exception("gRPC request failed")
            await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        finally:
            self._metrics.request("grpc", status, time.perf_counter() - start)

    async def _infer(self, request: Any, call: Any) -> Any:
        asked = wire_grpc.decode_request(request)
        remaining = call.time_remaining()
        seconds = self._timeout_s if remaining is None else min(remaining, self._timeout_s)
        context = Context(deadline=time.monotonic() + seconds)
        for key, value in call.invocation_metadata() or ():
            if key in ("x-request-id", "seldon-puid") and isinstance(value, str):
                context.id = value
            elif key == "x-predictor" and isinstance(value, str):
                context.predictor = value
        answer = await self._service.infer(asked.messages, context)
        if asked.outputs is not None:
            answer = answer.only(asked.outputs)
        return wire_grpc.encode_answer(answer)


async def start(service: Service, port: int, max_bytes: int, timeout_s: float) -> Any:
    """Starts the server; stop it with a grace period."""
    server = aio.server(
        options=[
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
    )
    stubs.add_GRPCInferenceServiceServicer_to_server(Servicer(service, timeout_s), server)
    if not server.add_insecure_port(f"[::]:{port}"):
        raise ImagegraphError(f"port {port} is taken")
    await server.start()
    return server
