"""The volume of the weights in trouble: whoever fills it is killed, or there is no room."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from imagegraph.spec.catalogue import ROOT, Catalogue
from tests.cluster.kubernetes import Kubernetes, Namespace, eventually
from tests.cluster.local import Node
from tests.cluster.releases import SMALL, ask, install
from tests.model_init.hub import Hub, folder


@pytest.fixture
def node(images: Kubernetes) -> Node:
    """The node of a local cluster."""
    if images.local is None:
        pytest.skip("only on a local cluster can a test kill a container, or fill a volume")
    return images.local.node(1)


@contextmanager
def hub(node: Node) -> Iterator[Hub]:
    """Runs a hub that pods reach."""
    served = Hub(node.gateway, node.gateway)
    try:
        yield served
    finally:
        served.close()


def filling(namespace: Namespace) -> dict[str, Any]:
    """Returns the status of the init container that fills the volume."""
    (pod,) = namespace.pods("imagegraph/node=depth")
    (status,) = pod["status"].get("initContainerStatuses") or [{}]
    return dict(status)


def test_killed_in_mid_pull_it_goes_on_where_it_was_and_verifies(
    node: Node, namespace: Namespace, figure: Callable[[str], None]
) -> None:
    files = folder(ROOT / "pocket" / "weights" / "depth")
    size = len(files["model.safetensors"])
    source = Catalogue.read().entries["depth"].bundles["sd15"].weights["model"]
    with hub(node) as served:
        served.add(source.repo, source.revision, files)
        served.speed = size / 20
        model_init = {"resources": SMALL, "env": {"HF_ENDPOINT": served.url}}
        install(namespace, "depth", wait=False, graph="depth", bundle="sd15", modelInit=model_init)
        large = f"{source.repo}/model.safetensors"
        eventually("half of the weights", lambda: served.sent[large] > size / 2, 180)
        first = filling(namespace)
        node.containerd.signal(first["containerID"].removeprefix("containerd://"), "SIGKILL")
        served.speed = None
        namespace.wait_ready()
        again = served.sent[large] - size
    assert filling(namespace)["restartCount"] == 1
    figure(f"of {size} bytes {again} came twice")
    assert again < size / 4
    with namespace.address("depth-engine", 8080) as address:
        assert ask(address, "depth")["depth"]


def test_a_full_volume_is_told_and_filled_once_there_is_room(
    node: Node, namespace: Namespace, figure: Callable[[str], None]
) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "small"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    namespace.apply(claim)
    bound = lambda: namespace.get("persistentvolumeclaim", "small")["spec"].get("volumeName")  # noqa: E731
    volume = namespace.cluster.get("persistentvolume", eventually("a volume", bound))
    path = volume["spec"]["local"]["path"]
    node.run("mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", path)
    cache = {"volume": "existing", "claim": "small"}
    install(namespace, "depth", wait=False, graph="depth", cache=cache)

    def told() -> Any:
        return filling(namespace).get("lastState", {}).get("terminated")

    ended = eventually("its failure", told, 120)
    assert ended["exitCode"] == 4
    assert "must be fetched, but /models" in ended["message"]
    (pod,) = namespace.pods("imagegraph/node=depth")
    words = ended["message"].strip().removeprefix("model-init: ")
    log = ("logs", pod["metadata"]["name"], "--container=model-init")
    eventually("the same in the log of one of its attempts", lambda: words in namespace.kubectl(*log))
    node.run("mount", "-o", "remount,size=100m", path)
    namespace.wait_ready()
    figure(f'status and log said "{ended["message"].strip()}"')
    with namespace.address("depth-engine", 8080) as address:
        assert ask(address, "depth")["depth"]
