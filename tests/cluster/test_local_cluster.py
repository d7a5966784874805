"""The local cluster is a real one, and leaves nothing behind."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import local
from tests.cluster.kubernetes import CommandFailed, Kubernetes, Namespace, eventually
from tests.cluster.shell import Failed
from tests.left_out import left_out_if_missing

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


def traces(cluster: local.Cluster) -> dict[str, set[str]]:
    """Returns what there is of a cluster on this machine, whatever else goes on here."""

    def lines(*command: str) -> set[str]:
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())

    folder = str(cluster.folder)
    networks = (cluster.pods, cluster.services, cluster.addresses)
    beginnings = tuple(network.rpartition(".")[0] for network in networks)
    return {
        # Whatever runs in a node or in a container sees mounts of the cluster's folder.
        "processes": {str(one) for one in Path("/proc").glob("[0-9]*") if folder in mounts_of(one)},
        "links": {path.name for path in Path("/sys/class/net").iterdir() if path.name == cluster.link},
        "routes": {line for line in lines("ip", "route") if cluster.link in line},
        "rules": {line for line in lines("iptables-save") if any(one in line for one in beginnings)},
        "cgroups": {str(path) for path in local.CGROUPS.glob(f"*/{cluster.name}-*")},
        "states": {str(path) for path in local.STATE.glob(cluster.name)},
    }


def mounts_of(process: Path) -> str:
    """Returns what a process sees mounted; "" of one that has ended."""
    try:
        return (process / "mountinfo").read_text()
    except OSError:
        return ""


@pytest.fixture
def another() -> Iterator[local.Cluster]:
    """A second local cluster, beside that of the session."""
    made = local.Cluster("test", 1)
    yield made
    made.down()


def test_down_leaves_nothing(another: local.Cluster) -> None:
    forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    with left_out_if_missing("a second cluster"):
        another.up(nodes=2)
    nodes = Kubernetes(another.kubeconfig, another).get("nodes")["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["node1", "node2"]
    there = traces(another)
    assert {kind for kind, found in there.items() if not found} <= {"rules"}, there
    another.down()
    assert not any(traces(another).values()), traces(another)
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == forwarding


def test_a_fresh_one_replaces_what_a_killed_run_left_and_is_had_alone(another: local.Cluster) -> None:
    another.up()
    left = another.node(1).pid
    with another.fresh():
        assert another.node(1).pid not in (0, left)
        with pytest.raises(Failed, match="cluster 'test' is in use"), another.fresh():
            pass
    assert not any(traces(another).values()), traces(another)


def test_a_program_beside_the_tests_ends_with_them_even_when_they_are_killed(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from tests.cluster.shell import running; import time\n"
        f"with running('sh', '-c', 'echo $$; exec sleep 1000', log=Path('{tmp_path}/log')): time.sleep(1000)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=local.ROOT) as tests:
        eventually("the program", lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text())
        tests.kill()
    beside = Path("/proc", (tmp_path / "log").read_text().strip())
    eventually("its end", lambda: not beside.exists() or "Z" in (beside / "stat").read_text(), 10)


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
