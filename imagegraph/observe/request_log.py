"""What is written of every request: its metrics, one line in the log, and its span."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegraph.engine.context import Context
from imagegraph.errors import ImagegraphError, InvalidInput, forget_frames
from imagegraph.observe.metrics import Metrics
from imagegraph.observe.tracing import RequestSpan, Tracing
from imagegraph.wire import headers as beside

log = logging.getLogger("imagegraph.request")


@dataclass(frozen=True, slots=True)
class Failure:
    """What is kept of an error; the exception itself would hold the frames it passed, and all they hold.

    Attributes:
        kind: the name of its class.
        words: what went wrong, but not what the client sent: that is its own business.
    """

    status: int
    kind: str
    words: str


@dataclass
class Entry:
    """One request, from its arrival to its answer.

    Attributes:
        route: method and path as a template, never the client's own path.
        predictor: the one that answers, once it is chosen.
        failure: why there is no answer, if so.
    """

    protocol: str
    route: str
    context: Context
    echo: Mapping[str, str]
    predictor: str = ""
    failure: Failure | None = None
    span: RequestSpan | None = None
    since: float = field(default_factory=time.perf_counter)

    def fail(self, error: ImagegraphError) -> None:
        """Notes why there is no answer; the error has come to its end here, and forgets its way."""
        self.failure = Failure(error.status, type(error).__name__, _describe(error))
        forget_frames(error)


class Journal:
    """Opens an entry for each request and writes it down when it is closed."""

    def __init__(self, metrics: Metrics, tracing: Tracing | None = None) -> None:
        """Takes where to count, and to trace if at all."""
        self.metrics = metrics
        self.tracing = tracing

    def open(self, protocol: str, route: str, headers: Mapping[str, str]) -> Entry:
        """Begins the entry of a request that came with these headers."""
        context = beside.read(headers)
        entry = Entry(protocol, route, context, beside.echo(headers, context))
        if self.tracing:
            entry.span = self.tracing.request(route, context)
        return entry

    def copy(self, entry: Entry, predictor: str) -> Entry:
        """Begins the entry of a request's copy for a shadow, which has as much time as the request."""
        asked = entry.context
        context = Context(id=asked.id, deadline=asked.deadline, trace=asked.trace)
        copy = Entry("shadow", entry.route, context, {}, predictor)
        if self.tracing:
            copy.span = self.tracing.request(entry.route, context)
        return copy

    def close(self, entry: Entry) -> None:
        """Writes down how it ended."""
        seconds = time.perf_counter() - entry.since
        status = entry.failure.status if entry.failure else 200
        context = entry.context
        trace_id = beside.trace_id(context) if entry.span else None
        self.metrics.request(entry.protocol, status, seconds, entry.predictor, trace_id)
        if status == 200 and context.graph and context.graph.children:
            self.metrics.critical_path(entry.predictor, context.critical_path)
        for event in context.events:
            if event.kind in ("finished", "failed"):
                self.metrics.node(entry.predictor, event.node.name, event.kind, event.seconds)
        for node in context.cache_hits:
            self.metrics.cache_hit(node)
        for node in context.cache_misses:
            self.metrics.cache_miss(node)
        if entry.span:
            entry.span.end(status, entry.predictor, entry.failure.kind if entry.failure else None)
        level = logging.ERROR if status == 500 else logging.INFO
        if log.isEnabledFor(level):
            # Made here, and not by `log.info`, which would look for the caller's file and line.
            record = logging.LogRecord(log.name, level, "", 0, f"{entry.route} {status}", None, None)
            record.facts = self._facts(entry, status, seconds)
            log.handle(record)

    def _facts(self, entry: Entry, status: int, seconds: float) -> dict[str, Any]:
        context = entry.context
        facts: dict[str, Any] = {
            "request_id": context.id,
            "protocol": entry.protocol,
            "route": entry.route,
            "status": status,
            "seconds": round(seconds, 6),
        }
        if context.turns:
            facts["queue_s"] = round(sum(turn.waited_s for turn in context.turns.values()), 6)
        optional = {
            "predictor": entry.predictor,
            "trace_id": beside.trace_id(context),
            "cache_hits": context.cache_hits,
            "error": entry.failure.words if entry.failure else None,
        }
        return facts | {name: value for name, value in optional.items() if value}


def _describe(error: ImagegraphError) -> str:
    at = f"node '{error.node}': " if error.node else ""
    if isinstance(error, InvalidInput):
        return f"{at}{error.field[:80]}: expected {error.expected}"
    return str(error) if error.status >= 500 else f"{at}{error.code}"
