"""One process that serves a node or a graph: V2 over REST by uvicorn, and over gRPC.

SIGTERM makes readiness false, waits until load balancers have seen it,
and then lets REST and gRPC finish what they have, together, within one grace period. What has not ended
by then is answered with an error, and a second signal leaves everything at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gc
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import uvicorn

from imagegraph.errors import ImagegraphError
from imagegraph.observe.tracing import Tracing
from imagegraph.serve.connection import MAX_HEAD_S, BoundedProtocol
from imagegraph.serve.http_v2 import Limits, Vertex, application
from imagegraph.serve.service import Service

log = logging.getLogger("imagegraph.serve.process")

KEEP_ALIVE_S = 65  # longer than load balancers keep idle connections
FAREWELL_S = 1.0  # that requests cut at the end of the grace period may take to be told so
TRACES_S = 5.0  # that spans may take to be sent when everything else has ended


@dataclass(frozen=True)
class Options:
    """How to serve.

    Attributes:
        host: name or address to listen at; None is all of them, of IPv4 and IPv6.
        grpc_port: None serves no gRPC.
        drain_delay_s: how long to answer on after readiness went false, until nobody sends more;
            after a second, answers close their connections.
        grace_s: longest that requests under way may take after that.
        cors_origins: of the pages in browsers that may ask.
    """

    host: str | None = None
    http_port: int = 8080
    grpc_port: int | None = 8081
    drain_delay_s: float = 0.0
    grace_s: float = 20.0
    limits: Limits = field(default_factory=Limits)
    vertex: Vertex | None = None
    cors_origins: Sequence[str] = ()


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
    answering = asyncio.create_task(http.serve([_listening(options.host, options.http_port)]))
    grpc = None
    if options.grpc_port is not None:
        from imagegraph.serve import grpc_v2

        address = f"{_bracketed(options.host or '::')}:{options.grpc_port}"
        grpc = await grpc_v2.start(service, address, options.limits.body_bytes, options.limits.timeout_s)
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
        cutting = asyncio.get_running_loop().call_later(options.grace_s, service.cut)
        await asyncio.gather(answering, *([grpc.stop(options.grace_s + FAREWELL_S)] if grpc else []))
        cutting.cancel()
        if late := http.server_state.tasks:  # that sent their bodies until now, or read no answer
            await asyncio.wait(late, timeout=FAREWELL_S)
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


def _listening(host: str | None, port: int) -> socket.socket:
    """Opens the socket of a server.

    Raises:
        ImagegraphError: the port is taken, or there is no such host.
    """
    try:
        if host is None and socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        family, *_, address = socket.getaddrinfo(host or "", port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=socket.AddressFamily(family))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ImagegraphError(f"port {port} is taken") from error
        raise ImagegraphError(f"cannot listen at {host or 'any address'}, port {port}: {error}") from error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _http_server(service: Service, options: Options) -> uvicorn.Server:
    """Makes the server, with signals left to us."""
    config = uvicorn.Config(
        application(service, options.limits, options.vertex, options.cors_origins),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(options.grace_s + FAREWELL_S),
    )
    # A callable that makes protocols, as uvicorn uses it; typed as a class.
    config.http = functools.partial(  # type: ignore[assignment]
        BoundedProtocol,
        max_head_s=min(MAX_HEAD_S, options.limits.timeout_s),
        max_stall_s=options.limits.timeout_s,
    )
    http = uvicorn.Server(config)
    # uvicorn would close its socket before anybody saw readiness go false.
    http.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    return http
