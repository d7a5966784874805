"""Commands of this machine, with deadlines, and programs that run beside the tests."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx


class Failed(Exception):
    """A command failed, or the cluster did not come up; the message holds the last that was said."""


def run(*command: str, cwd: Path | None = None) -> str:
    """Returns what a command prints; raises Failed with its words."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise Failed(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


@contextmanager
def running(
    *command: str, log: Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Callable[[], None]]:
    """Runs a program and ends it; it ends with the tests even when they are killed.

    Yields:
        A check that raises Failed with the program's last words once it has ended.
    """
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", *command], cwd=cwd, env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        ) as process,
    ):  # fmt: skip

        def check() -> None:
            if process.poll() is not None:
                raise Failed(f"{command[0]} ended: {log.read_text()[-3000:]}")

        try:
            yield check
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def answers(url: str, check: Callable[[], None]) -> bool:
    """Says whether a program answers there with 200; `check` raises once it has ended."""
    check()
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def free_ports(count: int) -> list[int]:
    """Returns ports of this machine that nothing listens at."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
