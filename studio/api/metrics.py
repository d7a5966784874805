"""The page for Prometheus: to who may look; at a port of its own, in a cluster, to who reaches that."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import start_http_server

from imagegraph.errors import InvalidInput
from studio.api.access import Viewer
from studio.api.context import Open
from studio.metrics import Metrics
from studio.settings import Settings

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
def show_metrics(request: Request, studio: Open, person: Viewer) -> Response:
    """Shows what happened here, and what the store holds."""
    content, media_type = studio.metrics.page(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": media_type})


@contextlib.contextmanager
def at_own_port(settings: Settings, metrics: Metrics) -> Iterator[int | None]:
    """Serves the same without asking who is there, where a setting says so; yields the port.

    Raises:
        InvalidInput: the port is taken.
    """
    if settings.metrics_port is None:
        yield None
        return
    try:
        server, thread = start_http_server(settings.metrics_port, settings.host, metrics.registry)
    except OSError as error:
        got = f"{settings.metrics_port} ({error.strerror})"
        raise InvalidInput("STUDIO_METRICS_PORT", "a port that is free", got) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
