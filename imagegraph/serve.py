"""One process that serves a node or a graph: V2 over REST and gRPC on KServe's ModelServer.

KServe brings the protocol's messages and the frame; what it answers slowly or wrongly is answered
here: see `rest` for HTTP. SIGTERM makes readiness false, waits until load balancers have seen it,
and then lets REST and gRPC finish what they have, together, within one grace period. What has not ended
by then is left, and a second signal leaves everything at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import NoReturn

import uvicorn

from imagegraph.errors import ImagegraphError
from imagegraph.http1 import MAX_HEAD_S, BoundedProtocol
from imagegraph.protocol import RESTServer, kserve
from imagegraph.rest import Limits, Vertex, application
from imagegraph.service import Service
from imagegraph.tracing import Tracing

log = logging.getLogger("imagegraph.serve")

TRACES_S = 5.0  # that spans may take to be sent when everything else has ended


@dataclass(frozen=True)
class Options:
    """How to serve.

    Attributes:
        grpc_port: None serves no gRPC.
        drain_delay_s: how long to answer on after readiness went false, until nobody sends more;
            after a second, answers close their connections.
        grace_s: longest that requests under way may take after that.
    """

    http_port: int = 8080
    grpc_port: int | None = 8081
    drain_delay_s: float = 0.0
    grace_s: float = 20.0
    limits: Limits = field(default_factory=Limits)
    vertex: Vertex | None = None


def serve(service: Service, options: Options) -> None:
    """Serves until SIGTERM or SIGINT, or until the weights cannot be loaded, and then ends the process."""
    import uvloop

    try:
        uvloop.run(_serve(service, options))
    except ImagegraphError as error:
        print(f"error: {error}", file=sys.stderr)
        _leave(1)


async def _serve(service: Service, options: Options) -> None:
    stopping = asyncio.Event()

    def stop(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    http = _http_server(service, options)
    answering = asyncio.create_task(http.serve())
    grpc = None
    if options.grpc_port is not None:
        from imagegraph import grpc_v2

        limits = options.limits
        grpc = await grpc_v2.start(service, options.grpc_port, limits.body_bytes, limits.timeout_s)
    loading = asyncio.create_task(service.load())
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({answering, loading, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
            gc.freeze()  # looking through all that was loaded would stop every request for 0.1 s
            gc.set_threshold(10_000)  # the default of 700 new objects is a few requests long
            await asyncio.wait({answering, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loading.cancel()
        waiting.cancel()
        was_ready = service.ready
        service.drain()
        # Whoever keeps a connection is sent elsewhere: closing an idle one may cross its next request.
        http.config.encoded_headers.append((b"connection", b"close"))  # read once a second
        if was_ready:
            await asyncio.sleep(options.drain_delay_s)
        http.should_exit = True
        await asyncio.gather(answering, *([grpc.stop(options.grace_s)] if grpc else []))
        await service.close()
        if service.journal.tracing:
            await _close(service.journal.tracing)
    _leave(0)


def _leave(code: int) -> NoReturn:
    """Ends the process; Python would wait for components' threads, however long they load or compute."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _close(tracing: Tracing) -> None:
    try:
        await asyncio.wait_for(asyncio.to_thread(tracing.close), TRACES_S)
    except TimeoutError:
        log.warning("the last spans could not be sent within %g s", TRACES_S)


def _http_server(service: Service, options: Options) -> uvicorn.Server:
    """KServe's REST server, with our application before its own and signals left to us."""
    server = kserve.ModelServer(http_port=options.http_port, enable_grpc=False)
    rest = RESTServer(
        "kserve.model_server:app",
        server.dataplane,
        server.model_repository_extension,
        options.http_port,
    )
    rest.create_application()
    rest.config.timeout_graceful_shutdown = options.grace_s
    beneath = kserve.model_server.app
    rest.config.app = application(service, options.limits, options.vertex, beneath)
    rest.config.access_log = False
    # A callable that makes protocols, as uvicorn uses it; typed as a class.
    rest.config.http = functools.partial(
        BoundedProtocol,
        max_head_s=min(MAX_HEAD_S, options.limits.timeout_s),
        max_stall_s=options.limits.timeout_s,
    )
    http: uvicorn.Server = rest._server
    # uvicorn would close its socket before anybody saw readiness go false.
    http.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    return http
