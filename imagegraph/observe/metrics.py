"""Prometheus metrics of one served node or graph; the labels are our own names, never the client's."""

from __future__ import annotations

import functools
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from imagegraph.calls.batching import Batch

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The metrics of one model, each with labels that say whose it is; one thread writes and reads them.

    Attributes:
        in_flight: a context manager that counts a request while it is under way.
        queues: each says how many requests wait in it.
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

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> _Histogram:
            one = _Histogram(name, text, fixed, labels, buckets)
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
        self.queues: list[Callable[[], int]] = []
        queued = gauge("imagegraph_queue_depth", "Requests in the queue")
        queued.set_function(lambda: sum(queue() for queue in self.queues))
        self._loading = gauge("imagegraph_load_seconds", "Time to load")
        self.in_flight = _InFlight()
        gauge("imagegraph_in_flight", "Requests under way").set_function(lambda: self.in_flight.count)
        registry.register(_DeviceMemory())
        self.model_name = model_name
        # Looking up a child by its labels costs more than counting.
        self._child = functools.cache(lambda metric, *labels: metric.labels(*fixed.values(), *labels))

    def request(self, protocol: str, status: int, seconds: float, predictor: str) -> None:
        """Counts a request that was answered, by the predictor that did."""
        self._child(self._requests, protocol, str(status), predictor).inc()
        self._seconds.observe(seconds, protocol, predictor)

    def phase(self, phase: str, seconds: float) -> None:
        """Counts time in decode, predict or encode."""
        self._phases.observe(seconds, phase)

    def node(self, predictor: str, node: str, outcome: str, seconds: float) -> None:
        """Counts a call of a node."""
        self._nodes.observe(seconds, predictor, node, outcome)

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

    def page(self, accept: str) -> tuple[bytes, str]:
        """Returns the page for Prometheus and its content type."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type


class _Histogram(Collector):
    """A histogram that one thread writes: prometheus_client's takes ten calls and two locks to count."""

    def __init__(
        self,
        name: str,
        text: str,
        fixed: Mapping[str, str],
        labels: tuple[str, ...],
        bounds: tuple[float, ...],
    ) -> None:
        """Takes the fixed labels, the names of the others, and the buckets' upper bounds."""
        self._family = functools.partial(HistogramMetricFamily, name, text, labels=[*fixed, *labels])
        self._fixed = list(fixed.values())
        self._bounds = bounds
        # By the values of the labels: the observations in each bucket, and last their sum.
        self._rows: dict[tuple[str, ...], list[float]] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Counts a value."""
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = [0.0] * (len(self._bounds) + 2)
        row[bisect_left(self._bounds, value)] += 1
        row[-1] += value

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, (*counts, total) in self._rows.items():
            buckets = list(zip(names, accumulate(counts), strict=True))
            family.add_metric([*self._fixed, *labels], buckets, total)
        yield family


class _InFlight:
    """Counts those inside."""

    count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1


class _DeviceMemory(Collector):
    """What torch holds of each CUDA device; nothing where it has not begun to use one."""

    def collect(self) -> Iterator[Metric]:
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_initialized():
            return
        family = GaugeMetricFamily(
            "imagegraph_device_memory_bytes", "Memory of the device", labels=["device", "kind"]
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
                family.add_metric([f"cuda:{index}", kind], number)
        yield family
