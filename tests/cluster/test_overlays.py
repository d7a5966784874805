"""The overlay for one small machine runs on a cluster that has the images, as the documentation says."""

import json
from collections.abc import Iterator

import httpx
import pytest
import yaml

from imagegraph.spec.catalogue import ROOT
from tests.cluster.kubernetes import Kubernetes, Namespace, eventually

OVERLAY = ROOT / "manifests" / "overlays" / "local"


@pytest.fixture
def applied(images: Kubernetes) -> Iterator[Namespace]:
    """The namespace that the overlay makes."""
    images.kubectl("apply", "--kustomize", str(OVERLAY))
    try:
        yield Namespace(images, "imagegraph")
    finally:
        wait = "false" if images.fresh else "true"
        images.kubectl("delete", "--kustomize", str(OVERLAY), f"--wait={wait}", timeout_s=180)


def test_every_pod_of_the_local_overlay_finds_its_image_and_its_volume(applied: Namespace) -> None:
    # Loading all models of the main job takes minutes there, and is tested with the chart.
    wanted = len(applied.get("deployments")["items"])

    def started() -> bool:
        pods = applied.pods()
        for pod in pods:
            status = pod["status"]
            for one in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
                reason = one["state"].get("waiting", {}).get("reason", "")
                assert "Image" not in reason, f"{pod['metadata']['name']}: {reason}"
        running = [
            pod
            for pod in pods
            if any("running" in one["state"] for one in pod["status"].get("containerStatuses", []))
        ]
        return len(running) == len(pods) == wanted

    eventually("all pods run", started, 240)
    # The studio needs no model: its page is there before the graph is.
    applied.wait_ready("reimagine-studio")
    with (
        applied.address("reimagine-studio", 80) as address,
        httpx.Client(base_url=f"http://{address}") as page,
    ):
        assert "<title>" in page.get("/", timeout=30).text
        token = yaml.safe_load((OVERLAY / "kustomization.yaml").read_text())["secretGenerator"][0][
            "literals"
        ][0]
        [person] = json.loads(token.removeprefix("tokens="))
        headers = {"Authorization": f"Bearer {person['token']}"}
        [graph] = page.get("/api/graphs", headers=headers, timeout=60).json()
        assert graph["name"] == "reimagine"
