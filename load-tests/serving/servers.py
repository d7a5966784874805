"""The servers that are measured, each a process in an environment of its own."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from generator import START_S, Load, ask

from imagegraph.spec.catalogue import ROOT

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import environments  # noqa: E402
from free_ports import free_ports  # noqa: E402

STOP_S = 15.0
PYTHON = Path(sys.executable)


def environment(name: str) -> Path:
    """Returns the interpreter of a server's own environment."""
    return environments.environment(HERE / f"{name}.txt")


class Server:
    """A server process with all its children; use as a context manager.

    Attributes:
        start_s: until it answered for the first time, once somebody has waited for that.
    """

    def __init__(self, command: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> None:
        """Starts it, in a folder and a session of its own."""
        self.start_s = math.nan
        self._began = time.monotonic()
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=self._folder.name,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(variables or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, load: Load) -> None:
        """Waits until the load's request is answered."""
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                ask(load)
                self.start_s = time.monotonic() - self._began
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{self._process.args} does not answer:\n{self._log.read_text()[-3000:]}")

    def memory_mib(self) -> float:
        """Returns what its processes take, of pages that they share their part."""
        return sum(one.memory_full_info().pss for one in self._processes()) / 2**20

    def cpu_s(self) -> float:
        """Returns the seconds that its processes have computed so far."""
        return sum(sum(one.cpu_times()[:2]) for one in self._processes())

    def _processes(self) -> list[psutil.Process]:
        """Returns all that it has started: what others of its own have left behind, and children everywhere.

        BentoML's workers have sessions of their own.
        """
        found: dict[int, psutil.Process] = {}
        for pid in psutil.pids():
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getsid(pid) == self._process.pid:
                    one = psutil.Process(pid)
                    found |= {each.pid: each for each in (one, *one.children(recursive=True))}
        return list(found.values())

    def _signal(self, number: signal.Signals) -> None:
        for one in self._processes():
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)

    def pause(self) -> None:
        """Stops it for a while: some servers are busy even when nobody asks them."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Has it go on."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume()
        started = self._processes()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        for one in started:  # also what it left behind
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self._process.wait()
        self._folder.cleanup()


def ours(stack: ExitStack, *arguments: str, catalogue: Path = HERE / "catalogue.yaml") -> tuple[Server, int]:
    """Starts our server; returns it and its HTTP port, which gRPC's follows."""
    port = free_ports(2)
    paths = os.pathsep.join([str(ROOT), str(HERE)])
    variables = {"IMAGEGRAPH_CATALOGUE": str(catalogue), "PYTHONPATH": paths}
    command = [PYTHON, "-m", "imagegraph.cli", "serve", "--device", "cpu"]
    ports = ["--http-port", str(port), "--grpc-port", str(port + 1)]
    return stack.enter_context(Server([*command, *arguments, *ports], variables)), port


def kserve(stack: ExitStack, kind: str) -> tuple[Server, int]:
    """Starts KServe's own server; returns it and its HTTP port, which gRPC's follows."""
    port = free_ports(2)
    command = [environment("kserve"), HERE / "kserve_server.py", kind, str(port), str(port + 1)]
    return stack.enter_context(Server(command)), port
