"""gRPC's own health protocol: what Kubernetes' gRPC probes, Envoy and clients that balance load ask.

Source: grpc/grpc, doc/health-checking.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

POLL_S = 0.5  # between looks at the state of a service that is watched
Response = health_pb2.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Says of the server as a whole (no name) and of its services whether requests are welcome."""

    def __init__(self, ready: Callable[[], bool], services: tuple[str, ...]) -> None:
        """Takes what says so, and the names of the services."""
        self._ready = ready
        self._names = ("", *services)

    def _status(self) -> Any:
        return Response.SERVING if self._ready() else Response.NOT_SERVING

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's names)
        """Answers at once."""
        if request.service not in self._names:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("no such service")
            return Response()
        return Response(status=self._status())

    async def Watch(self, request: Any, context: Any) -> AsyncGenerator[Any]:  # noqa: N802
        """Answers at once, and again whenever that has changed."""
        said = None
        while True:
            status = self._status() if request.service in self._names else Response.SERVICE_UNKNOWN
            if status != said:
                yield Response(status=status)
                said = status
            await asyncio.sleep(POLL_S)
