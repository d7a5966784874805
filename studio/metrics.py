"""Metrics for Prometheus: what this server did, counted; what the store holds, looked up when asked."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from imagegraph import __version__

ANSWERED_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STORED_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
RUN_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ACTIVE_S = 300.0  # after a request somebody counts as there


class Metrics:
    """The metrics of one server; labels are names that there are, never a client's words.

    Attributes:
        registry: what is shown at /metrics.
    """

    def __init__(self) -> None:
        """Begins at nothing."""
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"imagegraph_studio_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"imagegraph_studio_{name}", text, labels, buckets=buckets, registry=registry)

        self._requests = counter("requests", "Requests answered", "route", "method", "code")
        self._request_s = histogram(
            "request_seconds", "Time to answer; of events, to their end", ANSWERED_S, "route", "method"
        )
        self._job_s = histogram(
            "job_seconds", "Time that jobs ran here, by how they ended", RUN_S, "graph", "version", "state"
        )
        self._job_wait_s = histogram(
            "job_wait_seconds", "Time from a job's arrival until it began here", RUN_S, "graph"
        )
        self._database_s = histogram(
            "database_seconds", "Time of a transaction, with the wait for its turn", STORED_S, "kind"
        )
        self._users: dict[str, float] = {}
        self.gauge("users_active", "People who asked here in the last five minutes", self._active)
        info = Gauge("imagegraph_studio_info", "Always 1; says what runs", ["version"], registry=registry)
        info.labels(__version__).set(1)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Adds a number that is looked up when somebody asks."""
        Gauge(f"imagegraph_studio_{name}", text, registry=self.registry).set_function(value)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts a request that was answered.

        Args:
            route: the template of its path; "" where there is none.
        """
        method = method if method in METHODS else "other"
        self._requests.labels(route, method, str(status)).inc()
        self._request_s.labels(route, method).observe(seconds)

    def user(self, name: str) -> None:
        """Notes that somebody asks."""
        self._users[name] = time.monotonic()

    def job(self, graph: str, version: str, state: str, waited_s: float, ran_s: float) -> None:
        """Counts a job that ended here."""
        self._job_s.labels(graph, version, state).observe(ran_s)
        self._job_wait_s.labels(graph).observe(waited_s)

    @contextlib.contextmanager
    def transaction(self, kind: str) -> Iterator[None]:
        """Counts the time of a transaction that reads or writes."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._database_s.labels(kind).observe(time.perf_counter() - begin)

    def _active(self) -> int:
        before = time.monotonic() - ACTIVE_S
        for name in [name for name, at in self._users.copy().items() if at < before]:
            self._users.pop(name, None)
        return len(self._users)

    def page(self, accept: str) -> tuple[bytes, str]:
        """Returns the page for Prometheus and its content type."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type
