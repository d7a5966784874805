"""Enforces NetworkPolicies on the local cluster for as long as a test wants; else nobody does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cluster.kubernetes import Namespace
from tests.cluster.local import Cluster
from tests.cluster.shell import running
from tests.cluster.toolchain import tools

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"


@contextmanager
def enforced(cluster: Cluster) -> Iterator[None]:
    """Runs what enforces them on the first node; it takes its rules back at its end."""
    node = cluster.node(1)
    command = [
        "nsenter", f"--target={node.pid}", "--mount", "--net", str(tools() / "bin" / "policies"),
        f"--kubeconfig={cluster.kubeconfig}", f"--hostname-override={node.name}",
        f"--service-cluster-ip-range={cluster.services}",
    ]  # fmt: skip
    with running(*command, log=node.folder / "log" / "policies.log") as check:
        yield
        check()


def reaches(namespace: Namespace, pod: dict[str, Any], other: dict[str, Any], port: int) -> bool:
    """Says whether a pod can connect to a port of another; whom a policy keeps out is refused, or waits."""
    script = f"try:\n {CONNECT}\n print('yes')\nexcept OSError as error:\n print(error)"
    said = namespace.kubectl(
        "exec", pod["metadata"]["name"], "--", "python3", "-c", script, other["status"]["podIP"], str(port)
    )
    return said.strip() == "yes"
