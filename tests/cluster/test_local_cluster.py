"""The local cluster is a real one, and leaves nothing behind."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import local, toolchain
from tests.cluster.conftest import unavailable
from tests.cluster.kubernetes import CommandFailed, Kubernetes, Namespace, eventually

# The pause image is on every node; it needs no other.
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "pod", "labels": {"app": "pod"}},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "pause",
                "image": "localhost/pause:1",
                "imagePullPolicy": "Never",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
            }
        ],
        "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": "claim"}}],
    },
}
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "claim"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}


def on_this_machine() -> dict[str, set[str]]:
    """Returns what a cluster could leave behind."""

    def lines(*command: str) -> set[str]:
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())

    return {
        # Every pod has a network of its own: where none is left, none of its processes is.
        "networks": set(filter(None, map(network_of, Path("/proc").glob("[0-9]*")))),
        "links": {path.name for path in Path("/sys/class/net").iterdir()},
        "routes": lines("ip", "route"),
        "rules": {line for line in lines("iptables-save") if not line.startswith(("#", ":"))},
        "mounts": {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()},
        "cgroups": {str(path) for path in local.CGROUPS.glob("*/*") if path.is_dir()},
        "states": {str(path) for path in local.STATE.glob("*")},
        "forwarding": {Path("/proc/sys/net/ipv4/ip_forward").read_text()},
    }


def network_of(process: Path) -> str:
    """Returns the network namespace of a process; "" for one that has ended."""
    try:
        return str((process / "ns/net").readlink())
    except OSError:
        return ""


@pytest.fixture
def another() -> Iterator[local.Cluster]:
    """A second local cluster, beside that of the session."""
    made = local.Cluster("test", 1)
    yield made
    made.down()


def test_down_leaves_what_was_there_before(another: local.Cluster) -> None:
    before = on_this_machine()
    try:
        another.up(nodes=2)
    except toolchain.Missing as error:
        unavailable(str(error))
    nodes = Kubernetes(another.kubeconfig, another).get("nodes")["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["node1", "node2"]
    assert on_this_machine() != before
    another.down()
    assert on_this_machine() == before


def test_a_pod_runs_on_a_volume_that_every_node_can_have(namespace: Namespace) -> None:
    namespace.apply(CLAIM, POD)
    namespace.kubectl("wait", "pod/pod", "--for=condition=Ready", "--timeout=30s")
    claim = namespace.get("persistentvolumeclaim", "claim")
    assert claim["status"]["phase"] == "Bound"
    assert "ReadWriteMany" in claim["status"]["accessModes"]


def test_a_pod_that_may_run_as_root_is_refused(namespace: Namespace) -> None:
    careless = POD | {"spec": POD["spec"] | {"securityContext": {}}}
    with pytest.raises(CommandFailed, match="violates PodSecurity .restricted"):
        namespace.apply(CLAIM, careless)


def test_an_unknown_field_is_refused(namespace: Namespace) -> None:
    misspelt = POD | {"spec": POD["spec"] | {"restartPolice": "Always"}}
    with pytest.raises(CommandFailed, match="unknown field .*restartPolice"):
        namespace.apply(misspelt)


def test_a_service_has_a_name_and_an_address(namespace: Namespace) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "service"},
        "spec": {"selector": {"app": "pod"}, "ports": [{"port": 80}]},
    }
    namespace.apply(CLAIM, POD, service)
    slices = "--selector=kubernetes.io/service-name=service"
    found = eventually(
        "an endpoint", lambda: namespace.get("endpointslices", slices)["items"][0]["endpoints"]
    )
    pod = eventually("a pod's address", lambda: namespace.get("pod", "pod")["status"].get("podIP"))
    assert found[0]["addresses"] == [pod]
