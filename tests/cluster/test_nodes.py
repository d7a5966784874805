"""A node of the cluster goes, in good order and without a word, under constant load."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.conftest import load_images
from tests.cluster.kubernetes import Kubernetes, Namespace, eventually
from tests.cluster.load import Load
from tests.cluster.local import Node
from tests.cluster.releases import SMALL, install

COMPONENTS = ("engine", "node")
BOTH = {component: {"node1", "node2"} for component in COMPONENTS}
FIRST = {component: {"node1"} for component in COMPONENTS}


@pytest.fixture(scope="module")
def second(images: Kubernetes) -> Iterator[Node]:
    """A second node, until the tests of this file are done."""
    if images.local is None:
        pytest.skip("only a local cluster gets a second node from a test")
    images.local.up(nodes=2)
    load_images(images.local)
    node = images.local.node(2)
    yield node
    if node.running():
        node.stop()
    images.kubectl("delete", "node", node.name, "--wait=false")


@pytest.fixture(scope="class")
def release(second: Node, shared_namespace: Namespace) -> Namespace:
    install(
        shared_namespace,
        "edges",
        graph="edges",
        node={"resources": SMALL, "replicas": 2},
        engine={"replicas": 2, "resources": SMALL},
        pools={"cpu": {"spread": {"topologyKey": "kubernetes.io/hostname"}}},
    )
    return shared_namespace


class TestEdges:
    """Two pods of the node and two of the engine, one of each on every machine."""

    def test_a_drained_node_costs_no_request(
        self, release: Namespace, second: Node, figure: Callable[[str], None]
    ) -> None:
        self._spread(release)
        with release.address("edges-engine", 8080) as address, Load(address, rate=30) as load:
            release.cluster.kubectl(
                "drain", second.name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s",
                timeout_s=250,
            )  # fmt: skip
            release.wait_ready()
            time.sleep(5)
        figure(str(load))
        assert self._where(release) == FIRST
        assert load.lost == 0, load.outcomes

    def test_a_killed_node_costs_what_its_pods_held_until_it_is_missed(
        self, release: Namespace, second: Node, figure: Callable[[str], None]
    ) -> None:
        release.cluster.kubectl("uncordon", second.name)
        self._spread(release)
        with release.address("edges-engine", 8080) as address:
            with Load(address, rate=30, timeout_s=10) as load:
                time.sleep(2)
                start = time.monotonic()
                second.stop()
                eventually("all pods on one node", lambda: self._where(release) == FIRST, 240)
                release.wait_ready()
                took_s = time.monotonic() - start
                time.sleep(5)
            figure(f"{load}; all pods were ready elsewhere after {took_s:.0f} s")
            with Load(address, rate=50, most=100, timeout_s=10) as after:
                after.finish(60)
        assert after.lost == 0, after.outcomes
        # Until it is missed, each of the four threads may wait for it again and again, 10 s each time.
        assert load.lost <= 4 * (took_s / 10 + 2), load.outcomes

    def _spread(self, release: Namespace) -> None:
        """Has one pod of each on every node; the scheduler only prefers that."""
        for node, other in (("node1", "node2"), ("node2", "node1")):
            release.cluster.kubectl("cordon", other)
            for component, nodes in self._where(release).items():
                if node not in nodes:
                    pod = self._pods(release, component)[0]["metadata"]["name"]
                    release.kubectl("delete", "pod", pod, timeout_s=120)
            release.wait_ready()
            release.cluster.kubectl("uncordon", other)
        assert self._where(release) == BOTH

    def _where(self, release: Namespace) -> dict[str, set[str]]:
        """Returns the nodes where the pods of each component are."""
        return {
            component: {pod["spec"].get("nodeName", "") for pod in self._pods(release, component)}
            for component in COMPONENTS
        }

    def _pods(self, release: Namespace, component: str) -> list[dict[str, Any]]:
        return release.pods(f"app.kubernetes.io/component={component}")
