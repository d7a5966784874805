"""Where the chart's pods go on a large cluster: nodes that are only objects, the scheduler a real one."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cluster.kubernetes import Kubernetes, Namespace, eventually
from tests.cluster.releases import CHART
from tests.cluster.shell import answers, free_ports, running
from tests.cluster.toolchain import tools

# Pool: how many nodes, and the GPUs of each.
POOLS = {"large": (60, 8), "medium": (40, 4), "gpu": (60, 4), "cpu": (40, 0)}
REPLICAS = {
    "generate": 100, "upscale": 50, "rank": 50, "depth": 60, "pose": 60, "segmentation": 60, "caption": 60,
    "priors": 20, "source": 20, "edges": 20,
}  # fmt: skip
POOL_OF = {"generate": "large", "upscale": "medium", "rank": "medium"} | {
    name: "gpu" for name in ("depth", "pose", "segmentation", "caption")
}
FAKE = {"key": "kwok.x-k8s.io/node", "operator": "Exists"}
GPU = {"key": "nvidia.com/gpu", "operator": "Exists"}
ZONE = "topology.kubernetes.io/zone"


def node(pool: str, number: int, gpus: int) -> dict[str, Any]:
    """Returns a node that KWOK plays."""
    name = f"{pool}-{number:03}"
    resources = {"cpu": "96", "memory": "1024Gi", "pods": "110"}
    taints = [{"key": FAKE["key"], "value": "fake", "effect": "NoSchedule"}]
    if gpus:
        resources[GPU["key"]] = str(gpus)
        taints.append({"key": GPU["key"], "value": "present", "effect": "NoSchedule"})
    labels = {
        "pool": pool,
        ZONE: f"zone-{number % 3}",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "type": "kwok",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"taints": taints},
        "status": {"allocatable": resources, "capacity": resources},
    }


def is_ready(node: dict[str, Any]) -> bool:
    """Says whether the scheduler may use a node."""
    conditions = node["status"].get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not any(
        taint["key"].startswith("node.kubernetes.io/") for taint in node["spec"]["taints"]
    )


@pytest.fixture(scope="module")
def fake_nodes(cluster: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Two hundred nodes by name, until the tests of this file are done."""
    stages = tools() / "kwok" / "stage"
    names = ("node/fast/*.yaml", "node/heartbeat-with-lease/*.yaml", "pod/fast/*.yaml")
    files = sorted(path for name in names for path in stages.glob(name) if path.stem != "kustomization")
    folder = tmp_path_factory.mktemp("kwok")
    (folder / "stages.yaml").write_text("\n---\n".join(path.read_text() for path in files))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        str(tools() / "bin" / "kwok"), f"--kubeconfig={cluster.kubeconfig}", f"--config={folder}/stages.yaml",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40", f"--server-address={address}",
    ]  # fmt: skip
    nodes = [node(pool, number, gpus) for pool, (count, gpus) in POOLS.items() for number in range(count)]
    with running(*command, log=folder / "log") as check:
        eventually("KWOK", lambda: answers(f"http://{address}/healthz", check), 60)
        cluster.kubectl("create", "--filename=-", stdin=yaml.safe_dump_all(nodes), timeout_s=180)

        def all_ready() -> bool:
            found = cluster.get("nodes", "--selector=type=kwok")["items"]
            return sum(map(is_ready, found)) == len(nodes)

        try:
            eventually("200 nodes", all_ready, 180)
            yield {one["metadata"]["name"]: one for one in nodes}
        finally:
            cluster.kubectl("delete", "nodes", "--selector=type=kwok", "--wait=false", timeout_s=120)


@pytest.fixture(scope="module")
def placed(cluster: Kubernetes, fake_nodes: dict[str, Any]) -> Iterator[Namespace]:
    """Five hundred pods of the chart on them."""
    spread = {"topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}
    pools = {
        pool: {
            "nodeSelector": {"pool": pool},
            "tolerations": [FAKE, GPU][: 2 if gpus else 1],
            "spread": spread,
        }
        | ({"gpu": {"count": 1}} if gpus else {})
        for pool, (_, gpus) in POOLS.items()
    }
    nodes = {name: {"replicas": replicas} for name, replicas in REPLICAS.items()}
    for name, pool in POOL_OF.items():
        nodes[name]["pool"] = pool
    values = {"bundle": "sdxl", "pools": pools, "nodes": nodes, "engine": {"replicas": 1}}
    with cluster.namespace("test-scheduling") as namespace:
        rendered = namespace.helm("template", "large", str(CHART), "--values=-", stdin=yaml.safe_dump(values))
        namespace.kubectl("apply", "--filename=-", stdin=rendered, timeout_s=120)

        def all_bound() -> bool:
            return sum("nodeName" in pod["spec"] for pod in namespace.pods(PREDICTOR)) == 500

        eventually("500 pods placed", all_bound, 240)
        yield namespace


PREDICTOR = "app.kubernetes.io/component=node"


def test_every_pod_is_in_its_pool(placed: Namespace, fake_nodes: dict[str, Any]) -> None:
    where: defaultdict[str, Counter[str]] = defaultdict(Counter)
    used: Counter[str] = Counter()
    for pod in placed.pods(PREDICTOR):
        name, host = pod["metadata"]["labels"]["imagegraph/node"], pod["spec"]["nodeName"]
        where[name][fake_nodes[host]["metadata"]["labels"]["pool"]] += 1
        limits = pod["spec"]["containers"][0]["resources"].get("limits", {})
        used[host] += int(limits.get(GPU["key"], 0))
    expected = {name: {POOL_OF.get(name, "cpu"): replicas} for name, replicas in REPLICAS.items()}
    assert where == expected
    for host, gpus in used.items():
        assert gpus <= int(fake_nodes[host]["status"]["allocatable"].get(GPU["key"], 0)), host


def test_pods_of_a_node_are_spread_over_zones_within_one(
    placed: Namespace, fake_nodes: dict[str, Any]
) -> None:
    zones: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for pod in placed.pods(PREDICTOR):
        host = fake_nodes[pod["spec"]["nodeName"]]
        zones[pod["metadata"]["labels"]["imagegraph/node"]][host["metadata"]["labels"][ZONE]] += 1
    for name, counts in zones.items():
        assert len(counts) == 3, name
        assert max(counts.values()) - min(counts.values()) <= 1, (name, counts)


def test_a_full_pool_leaves_a_pod_pending_and_says_why(placed: Namespace) -> None:
    placed.kubectl("scale", "deployment/large-default-depth", "--replicas=61")

    def reason() -> str:
        pods = placed.pods(f"{PREDICTOR},imagegraph/node=depth")
        pending = [pod for pod in pods if "nodeName" not in pod["spec"]]
        assert len(pending) == 1
        conditions = pending[0]["status"].get("conditions", [])
        assert conditions
        return str(conditions[0]["message"])

    message = eventually("a pod that does not fit", reason, 30)
    assert re.search(r"60 Insufficient nvidia.com/gpu", message), message
    assert "node(s) didn't match Pod's node affinity/selector" in message
