"""Prometheus metrics of one served node or graph; the labels are our own names, never the client's."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

import imagegraph
from imagegraph.calls.batching import Batch
from imagegraph.observe.histogram import Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
SIZES = (1, 2, 4, 8, 16, 32, 64)
PROTOCOLS = ("rest", "grpc")
USUAL_CODES = ("200", "500", "503", "504")


class Metrics:
    """The metrics of one model, each with labels that say whose it is; one thread writes and reads them.

    Attributes:
        in_flight: a context manager that counts a request while it is under way.
        queues: each says how many requests wait in it, and how many may.
    """

    def __init__(
        self,
        model_name: str,
        registry: CollectorRegistry,
        *,
        role: Literal["engine", "node"] = "engine",
        release: str = "",
        namespace: str = "",
    ) -> None:
        """Takes what the labels say.

        Args:
            role: whether a graph is run here, or one of its nodes.
            release, namespace: of the chart, in the cluster; without them there is no such label.
        """
        self._registry = registry
        about = {"model_name": model_name, "role": role, "release": release, "namespace": namespace}
        fixed = {label: value for label, value in about.items() if value}

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            one = Histogram(name, text, fixed, labels, buckets)
            registry.register(one)
            return one

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, [*fixed, *labels], registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, [*fixed], registry=registry).labels(*fixed.values())

        self._requests = counter("imagegraph_requests", "Requests", "protocol", "code", "predictor")
        self._seconds = histogram(
            "imagegraph_request_seconds", "Time to answer", SECONDS, "protocol", "predictor"
        )
        self._phases = histogram("imagegraph_phase_seconds", "Time in a phase", SECONDS, "phase")
        self._nodes = histogram(
            "imagegraph_node_seconds", "Time of a node's call", SECONDS, "predictor", "node", "outcome"
        )
        self._path = counter(
            "imagegraph_critical_path_seconds",
            "Time that answers have waited for a node; of nodes side by side only the last one counts",
            "predictor",
            "node",
        )
        self._batches = histogram("imagegraph_batch_size", "Requests computed together", SIZES)
        self._waits = histogram("imagegraph_queue_seconds", "Time in the queue", SECONDS)
        self._hits = counter("imagegraph_cache_hits", "Results known already", "node")
        self._misses = counter("imagegraph_cache_misses", "Results not known yet", "node")
        self._store_errors = counter("imagegraph_cache_errors", "Failures of the store of results")
        self._skipped = counter("imagegraph_shadow_skipped", "Copies not sent to a shadow", "predictor")
        self._up = Gauge(
            "imagegraph_predictor_up",
            "Whether all nodes of a predictor have pods that are ready; else others get its requests",
            [*fixed, "predictor"],
            registry=registry,
        )
        self.queues: list[Callable[[], tuple[int, int]]] = []
        queued = gauge("imagegraph_queue_depth", "Requests in the queue")
        queued.set_function(lambda: sum(queue()[0] for queue in self.queues))
        room = gauge("imagegraph_queue_limit", "Requests that may be in the queue; more are refused")
        room.set_function(lambda: sum(queue()[1] for queue in self.queues))
        self._loading = gauge("imagegraph_load_seconds", "Time to load")
        self.in_flight = _InFlight()
        gauge("imagegraph_in_flight", "Requests under way").set_function(lambda: self.in_flight.count)
        about_this = Gauge(
            "imagegraph_info", "Always 1; says what runs here", [*fixed, "version"], registry=registry
        )
        about_this.labels(*fixed.values(), imagegraph.__version__).set(1)
        registry.register(_DeviceMemory(fixed))
        self.model_name = model_name
        self._fixed = fixed
        # Looking up a child by its labels costs more than counting.
        self._child = functools.cache(lambda metric, *labels: metric.labels(*fixed.values(), *labels))

    def expect(self, predictor: str) -> None:
        """Begins the series of a predictor's usual answers at 0.

        A counter that begins at its first error does not grow for Prometheus, which sees it at 50 at once.
        """
        for protocol in PROTOCOLS:
            self._seconds.begin(protocol, predictor)
            for code in USUAL_CODES:
                self._child(self._requests, protocol, code, predictor)

    def request(
        self, protocol: str, status: int, seconds: float, predictor: str, trace_id: str | None = None
    ) -> None:
        """Counts a request that was answered, by the predictor that did; its trace, if any, is an example."""
        self._child(self._requests, protocol, str(status), predictor).inc()
        self._seconds.observe(seconds, protocol, predictor, trace_id=trace_id)

    def phase(self, phase: str, seconds: float) -> None:
        """Counts time in decode, predict or encode."""
        self._phases.observe(seconds, phase)

    def node(self, predictor: str, node: str, outcome: str, seconds: float) -> None:
        """Counts a call of a node."""
        self._nodes.observe(seconds, predictor, node, outcome)

    def critical_path(self, predictor: str, seconds: Mapping[str, float]) -> None:
        """Adds for each node how long an answer has waited for it."""
        for node, waited in seconds.items():
            self._child(self._path, predictor, node).inc(waited)

    def batch(self, batch: Batch) -> None:
        """Counts a batch."""
        self._batches.observe(batch.size)
        self.phase("predict", batch.seconds)
        for waited in batch.waited_s:
            self._waits.observe(waited)

    def loaded(self, seconds: float) -> None:
        """Says how long loading took."""
        self._loading.set(seconds)

    def predictor_up(self, predictor: str, up: bool) -> None:
        """Says whether requests are sent to a predictor."""
        self._child(self._up, predictor).set(up)

    def copy_skipped(self, predictor: str) -> None:
        """Counts a copy that was not sent: too many are under way, or no pod is ready."""
        self._child(self._skipped, predictor).inc()

    def cache_hit(self, node: str) -> None:
        """Counts a node that was not asked."""
        self._child(self._hits, node).inc()

    def cache_miss(self, node: str) -> None:
        """Counts a node that was asked, since nobody knew its result."""
        self._child(self._misses, node).inc()

    def store_failed(self) -> None:
        """Counts a failure of the store that keeps results."""
        self._child(self._store_errors).inc()

    def show(self, file: Path) -> None:
        """Shows the metrics of a Prometheus text file, too, as long as it is there."""
        self._registry.register(_TextFile(file, self._fixed))

    def page(self, accept: str) -> tuple[bytes, str]:
        """Returns the page for Prometheus and its content type."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type


class _InFlight:
    """Counts those inside."""

    count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1


class _DeviceMemory(Collector):
    """What torch holds of each CUDA device; nothing where it has not begun to use one."""

    def __init__(self, fixed: Mapping[str, str]) -> None:
        """Takes the labels that say whose it is."""
        self._fixed = fixed

    def collect(self) -> Iterator[Metric]:
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_initialized():
            return
        family = GaugeMetricFamily(
            "imagegraph_device_memory_bytes", "Memory of the device", labels=[*self._fixed, "device", "kind"]
        )
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            kinds = {
                "allocated": torch.cuda.memory_allocated(index),
                "reserved": torch.cuda.memory_reserved(index),
                "free": free,
                "total": total,
            }
            for kind, number in kinds.items():
                family.add_metric([*self._fixed.values(), f"cuda:{index}", kind], number)
        yield family


class _TextFile(Collector):
    """What a program that has ended, such as model-init, has left for whoever is scraped after it."""

    def __init__(self, file: Path, fixed: Mapping[str, str]) -> None:
        """Takes the file, and labels that all its metrics get."""
        self._file = file
        self._fixed = fixed

    def describe(self) -> list[Metric]:
        """Names nothing: the file may come later."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            text = self._file.read_text()
        except OSError:
            return
        for family in text_string_to_metric_families(text):
            family.samples = [one._replace(labels={**self._fixed, **one.labels}) for one in family.samples]
            yield family
