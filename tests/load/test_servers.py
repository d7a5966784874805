"""What a measured server takes is what all its processes take."""

import importlib
import os
import sys
import time

import psutil
import pytest

from imagegraph.spec.catalogue import ROOT

# As BentoML's, the worker has a session of its own.
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
time.sleep(60)
"""


def test_children_in_sessions_of_their_own_are_counted_paused_and_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "load-tests" / "serving"))
    servers = importlib.import_module("servers")
    with servers.Server([sys.executable, "-c", PARENT]) as server:
        end = time.monotonic() + 30
        while server.cpu_s() < 0.5:
            assert time.monotonic() < end
            time.sleep(0.05)
        pids = [one.pid for one in server._processes()]
        [worker] = [pid for pid in pids if os.getsid(pid) == pid != server._process.pid]
        server.pause()
        time.sleep(0.1)
        before = server.cpu_s()
        time.sleep(0.3)
        assert server.cpu_s() == before
    while time.monotonic() < end and running(worker):
        time.sleep(0.05)
    assert not running(worker)


def running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
