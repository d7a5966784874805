"""Spans of requests and nodes by OpenTelemetry, where its standard environment variables ask for them.

OTEL_TRACES_EXPORTER (otlp, console, none), OTEL_EXPORTER_OTLP_ENDPOINT or …_TRACES_ENDPOINT switch it
on; OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER and all others of the SDK hold.
Nothing of it is imported otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from imagegraph.engine.context import Call, Context, Method
from imagegraph.errors import ImagegraphError, InvalidInput
from imagegraph.message import Message
from imagegraph.spec.graph import Node

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class Tracing:
    """Makes spans and sends them away in the background."""

    def __init__(self, provider: Any) -> None:
        """Takes a TracerProvider of OpenTelemetry's SDK."""
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._api = trace
        self._provider = provider
        self._tracer = provider.get_tracer("imagegraph")
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def from_environment(cls, name: str) -> Tracing | None:
        """Returns what the environment asks for; `name` is the service's unless it says another.

        Raises:
            ImagegraphError: it asks for what is not installed.
            InvalidInput: it asks for what there is not.
        """
        asked = os.environ.get("OTEL_TRACES_EXPORTER", "")
        if not asked and any(os.environ.get(one) for one in ENDPOINTS):
            asked = "otlp"
        if asked in ("", "none") or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return None
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise ImagegraphError(f"traces need the extra 'otel' of imagegraph: {error}") from error
        own = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": name}
        provider = TracerProvider(resource=Resource.create(own))
        for exporter in asked.split(","):
            provider.add_span_processor(BatchSpanProcessor(_exporter(exporter.strip())))
        return cls(provider)

    def request(self, route: str, context: Context) -> RequestSpan:
        """Begins the span of a request; nodes become its children."""
        parent = self._propagator.extract(context.trace)
        span = self._tracer.start_span(route, parent, self._api.SpanKind.SERVER)
        span.set_attribute("imagegraph.request_id", context.id)
        context.trace = self._carry(span)
        return RequestSpan(span)

    @contextmanager
    def node(self, node: Node, method: Method, context: Context, remote: bool) -> Iterator[Context]:
        """Gives the context for a call of a node, within a span of its own."""
        kind = self._api.SpanKind.CLIENT if remote else self._api.SpanKind.INTERNAL
        parent = self._propagator.extract(context.trace)
        span = self._tracer.start_span(f"{node.name} {method}", parent, kind)
        span.set_attribute("imagegraph.node", node.name)
        span.set_attribute("imagegraph.entry", node.entry)
        try:
            yield replace(context, trace=self._carry(span))
            if node.name in context.cache_hits:
                span.set_attribute("imagegraph.cache_hit", True)
            if turn := context.turns.get(node.name):
                span.set_attribute("imagegraph.queue_s", turn.waited_s)
                span.set_attribute("imagegraph.batch_size", turn.batch)
        except BaseException as error:
            span.set_status(self._api.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            span.end()

    def _carry(self, span: Any) -> dict[str, str]:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._api.set_span_in_context(span))
        return carrier

    def close(self) -> None:
        """Sends what is left; blocks until that is done or has failed."""
        self._provider.shutdown()


class RequestSpan:
    """The span of one request."""

    def __init__(self, span: Any) -> None:
        """Takes the span."""
        self._span = span

    def end(self, status: int, predictor: str, error: str | None) -> None:
        """Says how the request ended, and by what kind of error if by one."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("http.response.status_code", status)
        self._span.set_attribute("imagegraph.predictor", predictor)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR, error)
        self._span.end()


def _exporter(kind: str) -> Any:
    if kind == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if kind != "otlp":
        raise InvalidInput("OTEL_TRACES_EXPORTER", "otlp, console or none", kind)
    protocol = next((os.environ[name] for name in PROTOCOLS if os.environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        raise InvalidInput("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", protocol)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


class TracedCall:
    """A call with a span around each node."""

    def __init__(self, call: Call, tracing: Tracing, remote: frozenset[str]) -> None:
        """Takes the call and the names of the nodes that answer in processes of their own."""
        self._call = call
        self._tracing = tracing
        self._remote = remote

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Asks the node."""
        with self._tracing.node(node, "infer", context, node.name in self._remote) as inner:
            return await self._call.infer(node, message, inner)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Asks the node."""
        with self._tracing.node(node, "aggregate", context, node.name in self._remote) as inner:
            return await self._call.aggregate(node, messages, inner)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Asks the node."""
        with self._tracing.node(node, "route", context, node.name in self._remote) as inner:
            return await self._call.route(node, message, inner)
