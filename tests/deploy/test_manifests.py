"""The manifests in the repository: what the chart renders today, and overlays that build."""

import subprocess
from typing import Any

import pytest
import yaml

from imagegraph.deploy import render
from imagegraph.spec import strict_yaml
from imagegraph.spec.catalogue import ROOT, Catalogue
from imagegraph.spec.seldon import SeldonDeployment
from tests.deploy import chart

OVERLAYS = ROOT / "manifests" / "overlays"


def build(overlay: str) -> list[dict[str, Any]]:
    command = [chart.tool("kubectl"), "kustomize", str(OVERLAYS / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.load_all(done.stdout, Loader=chart.StrictLoader) if one]


def test_the_manifests_are_what_the_chart_renders(catalogue: Catalogue) -> None:
    wanted = render.rendered(ROOT, catalogue, chart.tool("helm"))
    folders = [ROOT / "manifests" / name for name in render.FOLDERS]
    assert render.differing(wanted, folders) == ([], []), "run `make generate`"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in OVERLAYS.glob("*/kustomization.yaml")))
def test_every_overlay_builds_and_its_document_names_services_that_are_there(name: str) -> None:
    built = build(name)
    [config] = chart.of_kind("ConfigMap", built)
    deployment = strict_yaml.parse(config["data"]["graph.yaml"], SeldonDeployment, name)
    services = {one["metadata"]["name"] for one in chart.of_kind("Service", built)}
    for predictor in deployment.spec.predictors:
        assert {one.service_host for one in predictor.endpoints.values()} <= services
    claims = {one["metadata"]["name"] for one in chart.of_kind("PersistentVolumeClaim", built)}
    for pod in chart.pods(built):
        for volume in pod.spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims


def test_the_local_overlay_fits_one_small_machine() -> None:
    built = build("local")
    assert all(one["spec"]["replicas"] == 1 for one in chart.of_kind("Deployment", built))
    requests = [pod.spec["containers"][0]["resources"]["requests"] for pod in chart.pods(built)]
    assert all(one == {"cpu": "50m", "memory": "512Mi"} for one in requests)
    assert all(
        one["spec"]["accessModes"] == ["ReadWriteOnce"]
        for one in chart.of_kind("PersistentVolumeClaim", built)
    )


def test_the_gpu_overlay_gives_a_gpu_to_the_entries_of_that_pool(catalogue: Catalogue) -> None:
    for pod in chart.pods(build("gpu-pools")):
        wants = pod.node is not None and catalogue.entry(pod.node[1]).pool == "gpu"
        assert ("nvidia.com/gpu" in pod.spec["containers"][0]["resources"]["limits"]) == wants
        assert ("nodeSelector" in pod.spec) == wants


def test_the_canary_overlay_has_two_versions_behind_one_engine(catalogue: Catalogue) -> None:
    pods = {pod.node: pod for pod in chart.pods(build("canary"))}
    assert pods.keys() == {None, ("default", "upscale"), ("canary", "upscale")}
    images = {key[0]: pod.spec["containers"][0]["image"] for key, pod in pods.items() if key}
    assert images["default"] != images["canary"]
