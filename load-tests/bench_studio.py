"""The studio: a gallery of 100 000 pictures, events, what it adds to a graph, 200 clients at once.

python load-tests/bench_studio.py [--seconds 60]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp

import imagegraph
from studio.store.contents import Contents
from studio.store.database import Database

PICTURES, CLIENTS = 100_000, 200
OWN = Path(__file__).parent / "studio" / "clock.yaml"
PROMPTS = [
    f"a {colour} {thing}" for colour in ("red", "green", "blue") for thing in ("cone", "cube", "sphere")
]
READS = (
    "/api/pictures?limit=100", "/api/pictures?limit=100&offset={deep}&as_of=99999", "/api/boards",
    "/api/pictures?limit=50&q=red+cone", "/api/pictures?limit=100&prior=depth&stars=4",
    "/api/jobs", "/api/graphs",
)  # fmt: skip


def fill(folder: Path) -> None:
    """Writes a store of so many pictures, a few bytes each."""
    database = Database(f"sqlite:///{folder / 'studio.sqlite'}")
    database.migrate()
    contents = Contents(database, str(folder / "pictures"))
    (kept,) = contents.keep([imagegraph.Image(pixels=_noise()).data])
    database.close()
    draw = random.Random(0)
    rows = [
        (
            number, f"{number:024x}", "local", kept.hash, 1.7e9 + number, draw.choice(("draw", "reimagine")),
            number % 6, 0, "generated", draw.choice(("depth", "pose", "edges")), draw.choice(PROMPTS), number,
            "pocket", '{"clip_prompt": 0.8}', draw.choice((None, None, 3, 4, 5)), number % 50 == 0, "",
        )
        for number in range(1, PICTURES + 1)
    ]  # fmt: skip
    names = (
        "number,id,owner,hash,created_at,graph,place,item,kind,prior,prompt,seed,bundle,about,stars,starred,"
        "note"
    )
    with sqlite3.connect(folder / "studio.sqlite") as raw:
        marks = ",".join("?" * len(rows[0]))
        raw.executemany(f"INSERT INTO pictures ({names}) VALUES ({marks})", rows)
        words = ((row[0], f"{row[10]} {row[5]} {row[9]}") for row in rows)
        raw.executemany("INSERT INTO words (rowid, said) VALUES (?, ?)", words)


def _noise() -> Any:
    from PIL import Image

    return Image.frombytes("RGB", (256, 256), random.Random(0).randbytes(3 * 256 * 256))


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, **environment: str) -> Iterator[tuple[str, int]]:
    """Yields the address and the process number of a studio."""
    log = str(folder / "clock.log")
    said = {
        "STUDIO_PRELOAD": "",
        "STUDIO_USER_REQUESTS": "10000000",
        "STUDIO_USER_JOBS": "100000",
        "CLOCK_LOG": log,
    }
    command = [
        sys.executable,
        "-m",
        "imagegraph.cli",
        "studio",
        "--data",
        str(folder),
        "--port",
        "0",
        *arguments,
    ]
    process = subprocess.Popen(
        command, env={**os.environ, **said, **environment}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield process.stdout.readline().split()[1], process.pid
    finally:
        process.terminate()
        process.wait(30)


def get(url: str) -> Any:
    """Returns what is answered."""
    with urllib.request.urlopen(url) as answer:
        return json.loads(answer.read())


def post(url: str, body: Any) -> Any:
    """Sends JSON; returns what is answered."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def median_ms(work: Callable[[], Any], times: int = 15) -> float:
    """Returns how long something takes, in the middle of so many times."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken)


def gallery(url: str) -> list[tuple[str, float, str]]:
    """Measures pages of the gallery, as a client on the same machine sees them."""
    pages = {
        "newest 100 of 100 000": "limit=100",
        "100 from row 99 000": "limit=100&offset=99000&as_of=100000",
        "100 of a prior with four stars": "limit=100&prior=depth&stars=4",
        "100 by words (22 000 found)": "limit=100&q=red+cone",
    }
    return [
        (name, median_ms(lambda query=query: get(f"{url}/api/pictures?{query}")), "30 ms")
        for name, query in pages.items()
    ]


def events(url: str, log: Path) -> float:
    """Returns how many ms after the engine told of a step a client hears of it; the 95th of a hundred."""
    log.unlink(missing_ok=True)
    id = post(f"{url}/api/graphs/clock/jobs", {"inputs": {"steps": 100}})["id"]
    arrived: dict[int, float] = {}
    with urllib.request.urlopen(f"{url}/api/jobs/{id}/events") as answer:
        kind = ""
        for line in answer:
            if line.startswith(b"event: "):
                kind = line[7:].strip().decode()
            elif line.startswith(b"data: ") and kind == "node-progress":
                arrived[json.loads(line[6:])["step"]] = time.time()
            elif line.startswith(b"data: ") and kind == "done":
                break
    told = list(map(float, log.read_text().split()))
    late = sorted(at - told[step] for step, at in arrived.items())
    return 1000 * late[int(0.95 * len(late))]


def added(url: str) -> float:
    """Returns how many ms a job takes longer than the same graph in a program, in alternating rounds."""
    graph = imagegraph.load("clock", catalogue=OWN)
    graph(seed=0)
    seeds = itertools.count()
    pairs = []
    for _ in range(40):
        alone = median_ms(lambda: graph(seed=next(seeds)), 1)
        job = median_ms(
            lambda: post(f"{url}/api/graphs/clock/jobs?wait=30", {"inputs": {"seed": next(seeds)}}), 1
        )
        pairs.append(job - alone)
    graph.close()
    return statistics.median(pairs)


async def crowd(url: str, seconds: float) -> tuple[Counter[int], list[float]]:
    """Has many clients read, rate and begin jobs at once; returns statuses, and ms of reads."""
    statuses: Counter[int] = Counter()
    reads: list[float] = []
    end = time.monotonic() + seconds

    async def client(place: int) -> None:
        draw = random.Random(place)
        while time.monotonic() < end:
            kind = draw.random()
            start = time.perf_counter()
            if kind < 0.9:
                path = draw.choice(READS).format(deep=draw.randrange(PICTURES - 100))
                asked = session.get(url + path)
            elif kind < 0.98:
                picture = f"{draw.randrange(1, PICTURES):024x}"
                asked = session.put(
                    f"{url}/api/pictures/{picture}/rating", json={"stars": draw.randrange(1, 6)}
                )
            else:
                asked = session.post(f"{url}/api/graphs/clock/jobs", json={"inputs": {"seed": place}})
            async with asked as answer:
                await answer.read()
                statuses[answer.status] += 1
                if answer.status in (429, 503):
                    await asyncio.sleep(float(answer.headers["Retry-After"]))
                elif kind < 0.9:
                    reads.append(1000 * (time.perf_counter() - start))
            await asyncio.sleep(draw.random())  # as people do, who look at what they got

    connections = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connections) as session:
        await asyncio.gather(*(client(place) for place in range(CLIENTS)))
    return statuses, sorted(reads)


def resident_mib(process: int) -> float:
    """Returns the memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Prints what was measured beside what it must reach."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder)
        with serving(folder, "--catalogue", str(OWN)) as (url, _):
            rows = gallery(url)
            rows.append(
                ("event after the engine told it, 95th of 100", events(url, folder / "clock.log"), "50 ms")
            )
            rows.append(("a job beside the same graph in a program", added(url), "5 ms"))
            statuses, reads = asyncio.run(crowd(url, seconds))
        rows.append(
            (f"reads of {CLIENTS} clients, 99th of {len(reads)}", reads[int(0.99 * len(reads))], "250 ms")
        )
        with serving(folder, STUDIO_GRAPHS=json.dumps({"draw": "http://127.0.0.1:9"})) as (url, process):
            gallery(url)
            memory = resident_mib(process)
    print("| what | measured | to reach |\n|---|---|---|")
    for name, value, limit in rows:
        print(f"| {name} | {value:.1f} ms | {limit} |")
    print(f"| memory without graphs in the process | {memory:.0f} MiB | 300 MB |")
    told = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    print(f"\n{CLIENTS} clients for {seconds:g} s were answered {told}.")


if __name__ == "__main__":
    main()
