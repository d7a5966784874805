"""The overlay for one small machine runs on a cluster that has the images, as the documentation says."""

from collections.abc import Iterator

import pytest

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
