"""What people see: lines for a log, a bar on a terminal, a last line, metrics."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

KUBERNETES_LOG = Path("/dev/termination-log")
LONGEST_MESSAGE = 4096  # bytes; Kubernetes cuts the rest
METRICS = {
    "success": "Whether the last run succeeded.",
    "exit_code": "Exit code of the last run.",
    "duration_seconds": "Duration of the last run.",
    "fetched_bytes": "Bytes that the last run fetched.",
    "cache_bytes": "Bytes of the snapshots that the last run looked at.",
    "finished_timestamp_seconds": "When the last run ended.",
}


class Report:
    """Progress of all downloads together."""

    every_s = 5.0

    def __init__(self, every_s: float) -> None:
        """Takes how often a line is written while nobody watches a terminal."""
        self.fetched = 0
        self._total = 0
        self.every_s = every_s
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._bar: Any = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._bar:
            self._bar.close()

    def say(self, line: str) -> None:
        """Writes a line."""
        if self._bar:
            self._bar.write(line, file=sys.stdout)
        else:
            print(line, flush=True)

    def expect(self, size: int) -> None:
        """Tells how many bytes are going to come."""
        self._total = size
        if sys.stdout.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=size, unit="B", unit_scale=True, file=sys.stdout, disable=False)

    def count(self, amount: int) -> None:
        """Takes bytes that came; negative where a source starts again."""
        with self._lock:
            self.fetched += amount
            if self._bar:
                self._bar.update(amount)

    def _tick(self) -> None:
        since, before = time.monotonic(), 0
        while not self._over.wait(self.every_s):
            now, fetched = time.monotonic(), self.fetched
            speed = (fetched - before) / (now - since)
            since, before = now, fetched
            if self._total and not self._bar:
                left = f", {(self._total - fetched) / speed:.0f} s left" if speed > 0 else ""
                self.say(
                    f"  {human(fetched)} of {human(self._total)} ({100 * fetched / self._total:.0f} %), "
                    f"{human(speed)}/s{left}"
                )

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._start


def human(size: float) -> str:
    """Returns a number of bytes as people say it."""
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_:
            return f"{size / bytes_:.1f} {unit}"
    return f"{size:.0f} B"


def leave_message(line: str, path: Path | None) -> None:
    """Writes the last line to where Kubernetes looks for it; `None` means the usual place, if it is there."""
    place = path or KUBERNETES_LOG
    if path is None and not os.access(place, os.W_OK):
        return
    try:
        place.write_bytes(line.encode()[:LONGEST_MESSAGE])
    except OSError as error:
        print(f"warning: no termination message: {error}", file=sys.stderr)


def write_metrics(path: Path, values: Mapping[str, float]) -> None:
    """Writes gauges, named as in METRICS, as a Prometheus text file that is whole at any moment."""
    lines = []
    for name, value in values.items():
        full = f"imagegraph_model_init_{name}"
        lines += [f"# HELP {full} {METRICS[name]}", f"# TYPE {full} gauge", f"{full} {float(value)}"]
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text("\n".join(lines) + "\n")
    fresh.replace(path)
