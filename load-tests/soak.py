"""Soak: embedded, plain and studio at work for a while; does any process grow?

python load-tests/soak.py [--minutes 20] [--graph interpret]

Every process has a folder of its own for what it writes beside its store. After the warm-up the first and the
last fifth of the time are compared, by their medians.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml
from free_ports import free_ports
from release import figures
from release.open_loop import Run
from release.open_loop import run as open_loop
from release.scenario import Scenario
from release.ways import Target, Ways

from imagegraph.spec.catalogue import ROOT, Catalogue
from imagegraph.spec.graph import Node
from imagegraph.spec.interface import Interface
from imagegraph.spec.seldon import seldon_deployment

PHOTO = ROOT / "pocket" / "examples" / "scene.png"
START_S = 900.0  # until all processes are ready
MOST_GROWTH = 0.02  # of memory
MOST_MORE = 2  # descriptors, and threads: who happens to be connected
MOST_BYTES = 4096  # on disk, beside the store
WARM_UP = 0.25  # of the time
EMBEDDED = """
import itertools, json, sys, time
import imagegraph
asked = json.loads(sys.argv[1])
with imagegraph.load(asked["graph"], catalogue=asked["catalogue"]) as graph:
    for number in itertools.count():
        start = time.monotonic()
        graph(**asked["values"], **({"seed": number} if asked["seeds"] else {}))
        print(number, flush=True)
        time.sleep(max(0, 1 / asked["rate"] - (time.monotonic() - start)))
"""


class Sample(NamedTuple):
    """What a process, with its children, has at a time."""

    at_s: float
    memory: int
    files: int
    threads: int
    disk: int


class Grown(NamedTuple):
    """What a process has after the warm-up and at the end, and whether that is as good as equal."""

    begin: Sample
    end: Sample

    @property
    def flat(self) -> bool:
        """Whether nothing has grown."""
        return (
            self.end.memory <= self.begin.memory * (1 + MOST_GROWTH)
            and self.end.files <= self.begin.files + MOST_MORE
            and self.end.threads <= self.begin.threads + MOST_MORE
            and self.end.disk <= self.begin.disk + MOST_BYTES
        )


def grown(samples: Sequence[Sample]) -> Grown:
    """Compares the first and the last fifth of samples, by their medians."""
    fifth = max(1, len(samples) // 5)
    return Grown(_median(samples[:fifth]), _median(samples[-fifth:]))


def _median(samples: Sequence[Sample]) -> Sample:
    return Sample(*(statistics.median_low(values) for values in zip(*samples, strict=True)))


@dataclass
class Process:
    """A process that is watched."""

    name: str
    popen: subprocess.Popen[bytes]
    folder: Path
    samples: list[Sample] = field(default_factory=list)

    def look(self, at_s: float) -> None:
        """Looks at it, and at its children.

        Raises:
            RuntimeError: it has ended.
        """
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self.name} has ended: {(self.folder / 'log').read_text()[-2000:]}")
        first = psutil.Process(self.popen.pid)
        family = [first, *first.children(recursive=True)]
        memory = sum(one.memory_info().rss for one in family)
        files, threads = sum(one.num_fds() for one in family), sum(one.num_threads() for one in family)
        self.samples.append(Sample(at_s, memory, files, threads, _size(self.folder / "tmp")))


@dataclass(frozen=True)
class Work:
    """What is asked, and how much.

    Attributes:
        rate: of each of the three, requests a second.
        given: values of all requests, by input.
    """

    graph: str
    catalogue: Path | None
    rate: float
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Soaked:
    """What came of it.

    Attributes:
        processes: what each has, by its name.
        answered: requests, by who answered them.
        store_per_job: bytes in the studio's store.
    """

    processes: Mapping[str, Grown]
    answered: Mapping[str, int]
    failed: int
    store_per_job: float

    @property
    def flat(self) -> bool:
        """Whether no process has grown and no request failed."""
        return not self.failed and all(one.flat for one in self.processes.values())


@contextlib.contextmanager
def processes(work: Work, folder: Path) -> Iterator[tuple[list[Process], str, str]]:
    """Starts all; yields them with the addresses of the engine and of the studio, once they are ready."""
    started: list[Process] = []
    more = ["--catalogue", str(work.catalogue)] if work.catalogue else []

    def start(name: str, *command: str, **environment: str) -> None:
        own = folder / name
        (own / "tmp").mkdir(parents=True)
        variables = {**os.environ, "TMPDIR": str(own / "tmp"), "OMP_NUM_THREADS": "1", **environment}
        log = (own / "log").open("wb")
        line = [sys.executable, *command]
        popen = subprocess.Popen(line, env=variables, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        started.append(Process(name, popen, own))

    def serve(name: str, *arguments: str) -> int:
        port = free_ports(1)
        start(name, "-m", "imagegraph.cli", "serve", "--http-port", str(port), "--grpc-port", "0", *arguments)
        return port

    catalogue = Catalogue.read([work.catalogue] if work.catalogue else [])
    root = catalogue.graph(work.graph).root
    document = seldon_deployment(work.graph, root, "pocket", "image")
    units = [document["spec"]["predictors"][0]["graph"]]
    addresses = {}
    try:
        for unit in units:
            units.extend(unit.get("children", []))
            node = next(one for one in root.walk() if one.name == unit["name"])
            about = ("--component", node.entry, "--type", node.type.value, "--name", node.name)
            port = serve(f"node {node.name}", *about, *more)
            unit["endpoint"] = {"service_host": "127.0.0.1", "httpPort": port, "type": "REST"}
            addresses[node.name] = f"http://127.0.0.1:{port}/v2/health/ready"
        manifest = folder / "manifest.yaml"
        manifest.write_text(yaml.safe_dump(document))
        engine = f"http://127.0.0.1:{serve('engine', '--manifest', str(manifest), *more)}"
        addresses["engine"] = f"{engine}/v2/health/ready"
        port = free_ports(1)
        data = ["--data", str(folder / "studio" / "data")]
        limits = {
            "STUDIO_PRELOAD": "",
            # However slow the machine is: what waits is no fault.
            "STUDIO_USER_JOBS": "100000",
            "STUDIO_USER_REQUESTS": "1000000",
            "STUDIO_CACHE_MIB": "4",  # full of results before the warm-up ends
        }
        start("studio", "-m", "imagegraph.cli", "studio", "--port", str(port), *data, *more, **limits)
        studio = f"http://127.0.0.1:{port}"
        addresses["studio"] = f"{studio}/api/health/ready"
        start("embedded", "-c", EMBEDDED, json.dumps(_embedded(work, catalogue, root)))
        _wait(addresses, started)
        yield started, engine, studio
    finally:
        for one in started:
            one.popen.terminate()
        for one in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.popen.wait(30)
            one.popen.kill()


def _embedded(work: Work, catalogue: Catalogue, root: Node) -> dict[str, Any]:
    """Returns what the program that embeds the graph asks it."""
    inputs = Interface.of_graph(root, "pocket", catalogue).inputs
    photos = {name: str(PHOTO) for name, port in inputs.items() if port.holds_images and port.required}
    return {
        "graph": work.graph,
        "catalogue": [str(work.catalogue)] if work.catalogue else [],
        "rate": work.rate,
        "values": {**photos, **work.given},
        "seeds": "seed" in inputs,
    }


def _wait(addresses: Mapping[str, str], started: Sequence[Process]) -> None:
    end = time.monotonic() + START_S
    for name, url in addresses.items():
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                pass
            for one in started:
                one.look(0)  # says who has ended
                one.samples.clear()
            if time.monotonic() > end:
                raise RuntimeError(f"{name} is not ready after {START_S:g} s")
            time.sleep(0.2)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


async def soak(work: Work, seconds: float, attempts: int = 1) -> Soaked:
    """Has all of them work for so long.

    Args:
        attempts: how often as long again, where something has grown: a warm-up comes to an end, a leak does
            not.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with processes(work, folder) as (watched, engine, studio):
            store = folder / "studio" / "data"
            photo = PHOTO.read_bytes()
            before, answered, failed = _size(store), {"plain": 0, "studio": 0}, 0
            jobs = 0
            for attempt in range(attempts):
                for one in watched:
                    one.samples.clear()
                looking = asyncio.create_task(_look(watched, 0.0 if attempt else WARM_UP * seconds))
                plain, of_studio = await asyncio.gather(
                    _load(engine, ("binary", "json", "stream"), work, photo, seconds),
                    _load(studio, ("job", "gallery"), work, photo, seconds),
                )
                looking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await looking
                for kind, run in (("plain", plain), ("studio", of_studio)):
                    got = figures.figures(run.outcomes, seconds)
                    answered[kind] += got.answered
                    failed += got.errors + got.refused
                jobs += figures.by_way(of_studio)["job"].answered
                found = {one.name: grown(one.samples) for one in watched}
                if failed or all(one.flat for one in found.values()):
                    break
            embedded = len((folder / "embedded" / "log").read_text().split())
            told = {**answered, "embedded": embedded}
            return Soaked(found, told, failed, (_size(store) - before) / max(1, jobs))


async def _look(watched: Sequence[Process], warm_s: float) -> None:
    start = time.monotonic()
    await asyncio.sleep(warm_s)
    while True:
        for one in watched:
            await asyncio.to_thread(one.look, time.monotonic() - start)
        await asyncio.sleep(0.5)


async def _load(url: str, ways: Sequence[str], work: Work, photo: bytes, seconds: float) -> Run:
    scenario = Scenario.model_validate(
        {
            "summary": "Soak",
            "phases": [{"rate": work.rate, "seconds": seconds}],
            "requests": [{"way": way} for way in ways],
            "timeout_seconds": 300,
            "values": "new",
            "thresholds": {"errors": 0},
        }
    )
    async with Ways(
        Target(url, photo, work.graph, given=work.given), scenario.values, scenario.timeout_seconds
    ) as opened:
        await opened.learn(scenario.of_studio)
        return await open_loop(scenario, [opened], 0)


def report(found: Soaked, minutes: float) -> str:
    """Returns the table."""
    lines = [
        "| process | MiB after the warm-up | at the end | grown | descriptors | threads | own disk, KiB |",
        "|---|---:|---:|---:|---|---|---|",
    ]
    for name, (begin, end) in found.processes.items():
        part = end.memory / begin.memory - 1
        lines.append(
            f"| {name} | {begin.memory / 2**20:.1f} | {end.memory / 2**20:.1f} | {part:+.1%} "
            f"| {begin.files} to {end.files} | {begin.threads} to {end.threads} "
            f"| {begin.disk / 1024:.0f} to {end.disk / 1024:.0f} |"
        )
    told = ", ".join(f"{kind} {count}" for kind, count in found.answered.items())
    lines.append(
        f"\nIn {minutes:g} minutes were answered by {told}; {found.failed} failed. The studio's store took "
        f"{found.store_per_job / 1024:.1f} KiB a job. Asked for: memory grown by at most {MOST_GROWTH:.0%}, "
        f"at most {MOST_MORE} more descriptors and threads, nothing more on disk beside the store."
    )
    return "\n".join(lines)


def main() -> None:
    """Soaks and prints what has grown; ends with 1 if something has."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--graph", default="interpret")
    parser.add_argument("--catalogue", type=Path, help="file with entries and graphs beside the project's")
    parser.add_argument("--rate", type=float, default=0.2, help="requests a second to each of the three")
    options = parser.parse_args()
    work = Work(options.graph, options.catalogue, options.rate)
    found = asyncio.run(soak(work, options.minutes * 60))
    print(report(found, options.minutes))
    sys.exit(not found.flat)


if __name__ == "__main__":
    main()
