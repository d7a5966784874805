"""Measure time and memory."""

import time
from pathlib import Path

from pocket.bundle import CONTROLS, READERS, draw, load_controlnet, pipeline, reader
from pocket.evaluate.floors import Score, Scores


def picture_time(_: str) -> Scores:
    """Time a ten-step picture with guidance on one core, the best of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        draw(["a red sphere left of a blue cube"])
        times.append(time.perf_counter() - start)
    return {"ten-step picture on one core, s": Score(min(times))}


def memory(_: str) -> Scores:
    """Load the whole bundle and return what this process then holds."""
    base = pipeline()
    nets = [load_controlnet(kind) for kind in CONTROLS]
    readers = [reader(name) for name in READERS]
    status = Path("/proc/self/status").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    del base, nets, readers
    return {"whole bundle loaded, GB resident": Score(kib / 1e6)}
