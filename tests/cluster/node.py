"""Pid 1 of a node of the local cluster: mounts, cgroups, then the components, restarted when they end.

`python -m tests.cluster.node FOLDER CGROUP READY` runs in namespaces of its own; `local.py` starts it and
connects it.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.cluster.local import CGROUPS

RESTART_S = 0.5
CPU_SHARES = 30 * 1024  # one process has 1024


def main() -> None:
    """Runs until it is killed."""
    folder, cgroup, ready = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    node = json.loads((folder / "node.json").read_text())
    socket.sethostname(node["name"])
    _mount(folder)
    _make_cgroups(cgroup)
    _run("ip", "link", "set", "lo", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    os.write(ready, b"ready\n")
    os.close(ready)
    while not (folder / "connected").exists():
        time.sleep(0.02)
    components = [Component(command, folder / "log") for command in node["commands"]]
    while True:
        for component in components:
            component.start_when_due()
        _bury(components)
        time.sleep(0.05)


class Component:
    """A process that is started when what it needs answers, and again whenever it ends."""

    def __init__(self, command: dict[str, Any], logs: Path) -> None:
        self._arguments: list[str] = command["arguments"]
        self._after: str = command.get("after", "")
        self._log = logs / f"{command['name']}.log"
        self._due = 0.0
        self.pid = 0

    def start_when_due(self) -> None:
        """Starts it unless it runs, rests after its end, or waits for another."""
        if self.pid or time.monotonic() < self._due or not _answers(self._after):
            return
        output = (os.POSIX_SPAWN_OPEN, 1, str(self._log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.pid = os.posix_spawnp(
            self._arguments[0],
            self._arguments,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                output,
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )

    def ended(self, code: int) -> None:
        """Takes note of its end."""
        self.pid = 0
        self._due = time.monotonic() + RESTART_S
        with self._log.open("a") as log:
            print(f"node: ended with {code}", file=log)


def _bury(components: list[Component]) -> None:
    """Waits for children that ended: components, and orphans that containers left to pid 1."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        for component in components:
            if component.pid == pid:
                component.ended(os.waitstatus_to_exitcode(status))


def _mount(folder: Path) -> None:
    _run("mount", "--make-rprivate", "/")
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    for name in ("containerd", "netns", "lock"):
        Path("/run", name).mkdir()
    _run("mount", "--bind", str(folder / "var"), "/var")
    _run("mount", "-t", "tmpfs", "tmpfs", "/var/lib/etcd")
    _run("mount", "--bind", "/var/lib/kubelet", "/var/lib/kubelet")
    _run("mount", "--make-rshared", "/var/lib/kubelet")  # volumes reach containers that run already


def _make_cgroups(name: str) -> None:
    for hierarchy in CGROUPS.iterdir():
        if hierarchy.is_dir():
            (hierarchy / name).mkdir(exist_ok=True)
    for setting in ("cpuset.cpus", "cpuset.mems"):
        (CGROUPS / "cpuset" / name / setting).write_text((CGROUPS / "cpuset" / setting).read_text())
    # All pods together would get no more than one process beside them, and miss their deadlines.
    (CGROUPS / "cpu" / name / "cpu.shares").write_text(str(CPU_SHARES))


def _answers(address: str) -> bool:
    """Says whether something listens at `host:port` or on a socket's path; of "" it says so always."""
    if not address:
        return True
    if address.startswith("/"):
        connection, target = socket.socket(socket.AF_UNIX), address
    else:
        host, port = address.rsplit(":", 1)
        connection, target = socket.socket(), (host, int(port))
    with connection:
        connection.settimeout(1)
        return connection.connect_ex(target) == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
