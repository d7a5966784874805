"""Prometheus metrics of one served node or graph; the label is our own name, never the client's."""

from __future__ import annotations

from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from imagegraph.batching import Batch

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The metrics of one model, each labelled with `model_name`."""

    def __init__(self, model_name: str, registry: CollectorRegistry) -> None:
        """Takes the name that the label carries."""
        self._registry = registry
        labels = ["model_name"]

        def histogram(name: str, text: str, buckets: tuple[float, ...], more: list[str]) -> Histogram:
            return Histogram(name, text, labels + more, buckets=buckets, registry=registry)

        self._requests = Counter(
            "imagegraph_requests", "Requests", [*labels, "protocol", "code"], registry=registry
        )
        self._seconds = histogram("imagegraph_request_seconds", "Time to answer", SECONDS, ["protocol"])
        self._phases = histogram("imagegraph_phase_seconds", "Time in a phase", SECONDS, ["phase"])
        self._batches = histogram("imagegraph_batch_size", "Requests computed together", SIZES, [])
        self._waits = histogram("imagegraph_queue_seconds", "Time in the queue", SECONDS, [])
        self._queued = Gauge("imagegraph_queue_depth", "Requests in the queue", labels, registry=registry)
        self._loading = Gauge("imagegraph_load_seconds", "Time to load", labels, registry=registry)
        self._in_flight = Gauge("imagegraph_in_flight", "Requests under way", labels, registry=registry)
        self._hits = Counter(
            "imagegraph_cache_hits", "Results known already", [*labels, "node"], registry=registry
        )
        self.model_name = model_name

    def request(self, protocol: str, status: int, seconds: float) -> None:
        """Counts a request that was answered."""
        self._requests.labels(self.model_name, protocol, str(status)).inc()
        self._seconds.labels(self.model_name, protocol).observe(seconds)

    def in_flight(self) -> AbstractContextManager[None]:
        """Counts a request while it is under way."""
        return self._in_flight.labels(self.model_name).track_inprogress()

    def phase(self, phase: str, seconds: float) -> None:
        """Counts time in decode, predict or encode."""
        self._phases.labels(self.model_name, phase).observe(seconds)

    def batch(self, batch: Batch) -> None:
        """Counts a batch."""
        self._batches.labels(self.model_name).observe(batch.size)
        self.phase("predict", batch.seconds)
        for waited in batch.waited_s:
            self._waits.labels(self.model_name).observe(waited)
        self._queued.labels(self.model_name).set(batch.queued)

    def loaded(self, seconds: float) -> None:
        """Says how long loading took."""
        self._loading.labels(self.model_name).set(seconds)

    def cache_hit(self, node: str) -> None:
        """Counts a node that was not asked."""
        self._hits.labels(self.model_name, node).inc()

    def page(self, accept: str) -> tuple[bytes, str]:
        """Returns the page for Prometheus and its content type."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type
