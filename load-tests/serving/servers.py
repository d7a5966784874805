"""The servers that are measured, each a process in an environment of its own."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from generator import START_S, Load, ask

from imagegraph.spec.catalogue import ROOT

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE / ".environments"
STOP_S = 15.0
PYTHON = Path(sys.executable)
UV = PYTHON.with_name("uv")


def environment(name: str) -> Path:
    """Returns the interpreter of a server's own environment; makes it if its requirements are new."""
    requirements = HERE / f"{name}.txt"
    folder = ENVIRONMENTS / f"{name}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        print(f"making {folder.name}", file=sys.stderr)
        subprocess.run([UV, "venv", "--quiet", "--clear", "--python", PYTHON, folder], check=True)
        install = [UV, "pip", "install", "--quiet", "--no-deps", "--python", python]
        subprocess.run([*install, "--requirement", requirements], check=True)
        done.touch()
    return python


def free_ports(count: int) -> int:
    """Returns the first of several free ports in a row."""
    while True:
        with ExitStack() as stack:
            first = random.randrange(20000, 30000)
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first


class Server:
    """A server process with all its children; use as a context manager."""

    def __init__(self, command: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> None:
        """Starts it, in a folder and a session of its own."""
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
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{self._process.args} does not answer:\n{self._log.read_text()[-3000:]}")

    def pause(self) -> None:
        """Stops it for a while: some servers are busy even when nobody asks them."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Has it go on."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            self.resume()
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
            os.killpg(self._process.pid, signal.SIGKILL)  # also what it left behind
        self._process.wait()
        self._folder.cleanup()


def ours(stack: ExitStack, *arguments: str) -> tuple[Server, int]:
    """Starts our server; returns it and its HTTP port, which gRPC's follows."""
    port = free_ports(2)
    paths = os.pathsep.join([str(ROOT), str(HERE)])
    variables = {"IMAGEGRAPH_CATALOGUE": str(HERE / "catalogue.yaml"), "PYTHONPATH": paths}
    command = [PYTHON, "-m", "imagegraph.cli", "serve", "--device", "cpu"]
    ports = ["--http-port", str(port), "--grpc-port", str(port + 1)]
    return stack.enter_context(Server([*command, *arguments, *ports], variables)), port


def kserve(stack: ExitStack, kind: str) -> tuple[Server, int]:
    """Starts KServe's own server; returns it and its HTTP port, which gRPC's follows."""
    port = free_ports(2)
    command = [environment("kserve"), HERE / "kserve_server.py", kind, str(port), str(port + 1)]
    return stack.enter_context(Server(command)), port
