"""How the servers do meanwhile, by the metrics that each process shows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

PERIOD_S, PATIENCE_S = 1.0, 5.0
# What is read of a page: metric, labels that must stand there, and what it is called here.
READ: tuple[tuple[str, dict[str, str], str], ...] = (
    ("process_cpu_seconds_total", {}, "cpu_s"),
    ("process_resident_memory_bytes", {}, "memory"),
    ("process_open_fds", {}, "files"),
    ("imagegraph_phase_seconds_sum", {"phase": "predict"}, "predict_s"),
    ("imagegraph_queue_depth", {}, "queue"),
    ("imagegraph_queue_limit", {}, "queue_limit"),
    ("imagegraph_in_flight", {}, "in_flight"),
    ("imagegraph_device_memory_bytes", {"kind": "reserved"}, "device"),
    ("imagegraph_device_memory_bytes", {"kind": "total"}, "device_total"),
)


class Sample(NamedTuple):
    """What one process showed, `at_s` after the start."""

    at_s: float
    process: str
    values: dict[str, float]


@dataclass
class Sampler:
    """Looks at pages of metrics about once a second.

    Attributes:
        pages: URLs by the server's name. Where a host has several addresses (a headless Service: one each
            pod), each is looked at.
        failed: what went wrong with a page, the last time; a run does not end for it.
    """

    pages: dict[str, str]
    samples: list[Sample] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    async def run(self, now_s: Callable[[], float]) -> None:
        """Looks until it is cancelled."""
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await asyncio.gather(*(self._look(session, *page, now_s) for page in self.pages.items()))
                await asyncio.sleep(PERIOD_S)

    async def _look(
        self, session: aiohttp.ClientSession, name: str, url: str, now_s: Callable[[], float]
    ) -> None:
        try:
            for process, address in await _addresses(name, url):
                async with session.get(address, headers={"Host": urlsplit(url).netloc}) as answer:
                    answer.raise_for_status()
                    text = await answer.text()
                self.samples.append(Sample(now_s(), process, read(text)))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:  # or no page of metrics
            self.failed[name] = str(error) or type(error).__name__


async def _addresses(name: str, url: str) -> list[tuple[str, str]]:
    """Returns name and URL of every process behind a URL."""
    parts = urlsplit(url)
    found = await asyncio.get_running_loop().getaddrinfo(
        parts.hostname, parts.port or 80, family=socket.AF_INET, type=socket.SOCK_STREAM
    )
    addresses = sorted({one[4][0] for one in found})
    if len(addresses) == 1:
        return [(name, url)]
    return [
        (f"{name}/{address}", parts._replace(netloc=f"{address}:{parts.port or 80}").geturl())
        for address in addresses
    ]


def read(page: str) -> dict[str, float]:
    """Returns what `READ` names of a page, series of one name added up, and how many nodes were run there."""
    found: dict[str, float] = {}
    nodes = set()
    for one in (sample for family in text_string_to_metric_families(page) for sample in family.samples):
        if one.name == "imagegraph_node_seconds_count":
            nodes.add(one.labels["node"])
        for metric, needed, name in READ:
            if one.name == metric and needed.items() <= one.labels.items():
                found[name] = found.get(name, 0.0) + one.value
    return found | {"nodes": float(len(nodes))}


class Use(NamedTuple):
    """How much of itself a process has used in a while.

    Attributes:
        cores: CPU seconds a second.
        computing: seconds a second that its model computed; of several models, all of theirs added up.
        memory, device: most bytes; `device` and `device_total` of the GPU, 0 without.
        queue: most requests that waited, as a part of those that may.
        nodes: of a graph, as many as it has run; of one model none or one.
    """

    cores: float = 0.0
    computing: float = 0.0
    memory: float = 0.0
    device: float = 0.0
    device_total: float = 0.0
    queue: float = 0.0
    nodes: float = 0.0


def use(samples: list[Sample], begin_s: float, end_s: float) -> dict[str, Use]:
    """Returns what each process has used between two times; one that was seen only once is left out."""
    by_process: dict[str, list[Sample]] = {}
    for one in samples:
        by_process.setdefault(one.process, []).append(one)
    found = {}
    for process, all_ in by_process.items():
        seen = [one for one in all_ if begin_s <= one.at_s <= end_s]
        if len(seen) < 2:  # a short while: with what was seen just before and after
            seen = [*[one for one in all_ if one.at_s < begin_s][-1:], *seen]
            seen += [one for one in all_ if one.at_s > end_s][:1]
        if len(seen) < 2:
            continue
        seconds = seen[-1].at_s - seen[0].at_s

        def rate(name: str, seen: list[Sample] = seen, seconds: float = seconds) -> float:
            # A process that was started anew counts from nothing.
            return max(0.0, seen[-1].values.get(name, 0.0) - seen[0].values.get(name, 0.0)) / seconds

        def most(name: str, seen: list[Sample] = seen) -> float:
            return max(one.values.get(name, 0.0) for one in seen)

        limit = most("queue_limit")
        found[process] = Use(
            rate("cpu_s"), rate("predict_s"), most("memory"), most("device"), most("device_total"),
            most("queue") / limit if limit else 0.0, most("nodes"),
        )  # fmt: skip
    return found
