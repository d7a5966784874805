"""A histogram that one thread writes: prometheus_client's takes ten calls and two locks to count."""

from __future__ import annotations

import functools
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import Exemplar, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Histogram(Collector):
    """Counts values by bucket, and keeps the trace of the last one in each as an example."""

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
        self._examples: dict[tuple[tuple[str, ...], int], Exemplar] = {}

    def begin(self, *labels: str) -> list[float]:
        """Shows these labels from now on, with nothing counted yet, and returns their row."""
        return self._rows.setdefault(labels, [0.0] * (len(self._bounds) + 2))

    def observe(self, value: float, *labels: str, trace_id: str | None = None) -> None:
        """Counts a value; `trace_id` says which trace shows what took so long."""
        row = self._rows.get(labels)
        if row is None:
            row = self.begin(*labels)
        bucket = bisect_left(self._bounds, value)
        row[bucket] += 1
        row[-1] += value
        if trace_id:
            self._examples[labels, bucket] = Exemplar({"trace_id": trace_id}, value, time.time())

    def collect(self) -> Iterator[Metric]:
        """Gives the histogram as it is now."""
        family = self._family()
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, (*counts, total) in self._rows.items():
            buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
            for index, bucket in enumerate(zip(names, accumulate(counts), strict=True)):
                example = self._examples.get((labels, index))
                buckets.append((*bucket, example) if example else bucket)
            family.add_metric([*self._fixed, *labels], buckets, total)
        yield family
