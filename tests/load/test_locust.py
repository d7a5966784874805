"""Locust's users, in a process of their own, against a real server."""

import os
import subprocess
import sys
from collections.abc import Callable

from imagegraph.spec.catalogue import ROOT
from tests.serve.conftest import Server

FILE = str(ROOT / "load-tests" / "locustfile.py")


def locust(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "locust", "-f", FILE, "--headless", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=240, cwd=ROOT
    )


def test_users_ask_by_every_way_of_a_graph(start: Callable[..., Server]) -> None:
    server = start("--component", "greet")
    where = ("--host", f"http://127.0.0.1:{server.http_port}", "--grpc", f"127.0.0.1:{server.grpc_port}")
    long = ("--users", "40", "--spawn-rate", "40", "--run-time", "4s", "--stop-timeout", "5")
    done = locust(*where, *long, LOCUST_SKIP_MONKEY_PATCH="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Unclosed" not in done.stderr
    words = [line.split() for line in (done.stderr + done.stdout).splitlines() if "%" in line]
    rows = {one[0]: int(one[2]) for one in words if one[0] in ("binary", "json", "grpc", "stream")}
    assert rows.keys() == {"binary", "json", "grpc", "stream"}
    assert all(count > 0 for count in rows.values())


def test_grpc_that_is_not_there_is_named_and_only_looked_for_where_it_is_asked(
    start: Callable[..., Server],
) -> None:
    server = start("--component", "greet")
    where = ("--host", f"http://127.0.0.1:{server.http_port}", "--grpc", "127.0.0.1:9")
    long = ("--users", "10", "--spawn-rate", "10", "--run-time", "2s", "--stop-timeout", "5")
    done = locust(*where, *long, LOCUST_SKIP_MONKEY_PATCH="1")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cannot reach gRPC at 127.0.0.1:9: " in done.stderr
    done = locust(*where, *long, "Binary", LOCUST_SKIP_MONKEY_PATCH="1")
    assert done.returncode == 0, done.stdout + done.stderr


def test_patched_threads_are_refused_with_what_to_do() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "LOCUST_SKIP_MONKEY_PATCH"}
    command = [sys.executable, "-m", "locust", "-f", FILE, "--list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode != 0
    assert "expected LOCUST_SKIP_MONKEY_PATCH=1" in done.stdout + done.stderr
