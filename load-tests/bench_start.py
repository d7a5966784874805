"""How long it takes until something is there: a run on the command line, a component's process that is ready.

python load-tests/bench_start.py [CHECKOUT]      beside another checkout that is set up, in turn with this one

BENCH_AGAINST names the checkout, too. CPU seconds are those of the process: a busy machine changes them less.
Modules are compiled once, in a round that does not count, as they are where Python may write byte code.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
LONGEST_S = 300.0


@dataclass
class Start:
    """What one start took: seconds on the clock, seconds of CPU, and the most memory in MiB."""

    wall_s: float
    cpu_s: float
    mib: float


def _finished(process: subprocess.Popen[bytes], begun: float, ready: float | None = None) -> Start:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = (ready or time.perf_counter()) - begun
    return Start(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def run(checkout: Path) -> Start:
    """Draws from the shipped scene."""
    folder = tempfile.mkdtemp()
    command = [
        checkout / ".venv/bin/imagegraph",
        "run",
        "reimagine",
        "pocket/examples/scene.png",
        "--out",
        folder,
    ]
    begun = time.perf_counter()
    start = _finished(subprocess.Popen(command, cwd=checkout, env=ENVIRONMENT, **SILENT), begun)
    shutil.rmtree(folder)
    return start


def serve(component: str) -> Callable[[Path], Start]:
    """Serves a component until it says that it is ready."""

    def start(checkout: Path) -> Start:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [checkout / ".venv/bin/imagegraph", "serve", "--component", component, "--grpc-port", "0"]
        begun = time.perf_counter()
        command += ["--http-port", str(port)]
        process = subprocess.Popen(command, cwd=checkout, env=ENVIRONMENT, **SILENT)
        while not _ready(port):
            if process.poll() is not None or time.perf_counter() - begun > LONGEST_S:
                sys.exit(f"{component} in {checkout} did not get ready")
            time.sleep(0.02)
        ready = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        return _finished(process, begun, ready)

    return start


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5):
            return True
    except OSError:
        return False


ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
SILENT = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
STARTS = {
    "`run reimagine` of the scene": run,
    "`serve --component edges`, ready": serve("edges"),
    "`serve --component depth`, ready": serve("depth"),
}


def main() -> None:
    """Prints a row for each start: medians; for ratios, those of runs in turn, and that of the quickest."""
    other = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("BENCH_AGAINST")
    checkouts = [HERE, *([Path(other).resolve()] if other else [])]
    print(
        "| start | seconds | CPU seconds | MiB |"
        + (" seconds, ratio (quickest) | CPU, ratio | MiB, ratio |" if other else "")
    )
    print("|---|---|---|---|" + ("---|---|---|" if other else ""))
    for name, start in STARTS.items():
        rounds = [[start(checkout) for checkout in checkouts] for _ in range(ROUNDS + 1)][1:]
        ours = [one[0] for one in rounds]
        cells = [f"{statistics.median(getattr(one, key) for one in ours):.1f}" for key in ("wall_s", "cpu_s")]
        cells.append(f"{statistics.median(one.mib for one in ours):.0f}")
        if other:
            for key in ("wall_s", "cpu_s", "mib"):
                ratios = [getattr(a, key) / getattr(b, key) for a, b in rounds]
                quickest = [min(getattr(one, key) for one in column) for column in zip(*rounds, strict=True)]
                cells.append(f"{statistics.median(ratios):.2f} ({quickest[0] / quickest[1]:.2f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
