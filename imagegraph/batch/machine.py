"""The machine that a batch runs on: facts of it, and the most memory that was in use meanwhile."""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import imagegraph
from imagegraph.errors import ImagegraphError

LOOK_S = 0.02  # between looks at the memory
MIB = 2**20
_PACKAGES = ("torch", "diffusers", "transformers", "onnxruntime", "numpy")


def facts() -> dict[str, Any]:
    """Returns what times and memory depend on: processor, memory, GPU, versions."""
    import psutil

    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "machine": platform.machine(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": gpu,
        "python": platform.python_version(),
        "imagegraph": imagegraph.__version__,
        **versions,
    }


class Peak:
    """The most memory that was in use while something ran, MiB.

    Attributes:
        cpu_mib: of the process.
        gpu_mib: of torch on the GPU; None where it uses none.
    """

    def __init__(self) -> None:
        """Begins with nothing."""
        self.cpu_mib = 0.0
        self.gpu_mib: float | None = None


class Memory:
    """Looks at the memory of this process from a thread of its own; use as a context manager."""

    def __init__(self) -> None:
        """Looks for what tells of the memory.

        Raises:
            ImagegraphError: psutil is not installed.
        """
        try:
            import psutil
        except ImportError as error:
            raise ImagegraphError("batches need psutil and pyarrow: install imagegraph[batch]") from error
        self._process = psutil.Process()
        self._peaks: set[Peak] = set()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @contextmanager
    def peak(self) -> Iterator[Peak]:
        """Gives the peak of what runs inside; of what runs at once each has that of all."""
        peak = Peak()
        with self._lock:
            self._peaks.add(peak)
        self._look()
        try:
            yield peak
        finally:
            self._look()
            with self._lock:
                self._peaks.discard(peak)

    def _watch(self) -> None:
        while not self._end.wait(LOOK_S):
            if self._peaks:
                self._look()

    def _look(self) -> None:
        cpu = self._process.memory_info().rss / MIB
        torch = sys.modules.get("torch")
        gpu = None
        if torch and getattr(torch, "cuda", None) and torch.cuda.is_initialized():
            gpu = torch.cuda.max_memory_allocated() / MIB
            torch.cuda.reset_peak_memory_stats()
        with self._lock:
            for peak in self._peaks:
                peak.cpu_mib = max(peak.cpu_mib, cpu)
                if gpu is not None:
                    peak.gpu_mib = max(peak.gpu_mib or 0.0, gpu)


def _processor() -> str:
    """Returns the processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
