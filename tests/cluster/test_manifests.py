"""A real API server takes all that chart and manifests/ have for it, and no misspelt field."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagegraph.export import formats
from imagegraph.export.exported import Exported
from imagegraph.spec.catalogue import ROOT, Catalogue
from tests.cluster.dry_run import check, dry_run, objects
from tests.cluster.kubernetes import CommandFailed, Namespace
from tests.cluster.toolchain import tools
from tests.deploy import chart

MANIFESTS = ROOT / "manifests"
# `version` is the part of an overlay that has a name of its own.
FOLDERS = [
    path.parent for path in sorted(MANIFESTS.rglob("kustomization.yaml")) if path.parent.name != "version"
]
GRAPHS = sorted((MANIFESTS / "graphs").glob("*.yaml"))
MISSPELT = "misspelt"
# Maps whose keys are the author's own; in all others the server knows every key.
OPEN = {"annotations", "data", "labels", "limits", "matchLabels", "metadata", "nodeSelector", "nodes",
        "requests", "selector"}  # fmt: skip
SCENARIOS = pytest.mark.parametrize(
    "scenario", chart.SCENARIOS, ids=lambda path: path.name.partition("-values")[0]
)


def rendered(values: Path) -> str:
    done = chart.template("--values", str(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def built(folder: Path, namespace: str) -> str:
    """Builds a folder for kustomize, for a namespace that is there in place of its own."""
    command = [str(tools() / "bin" / "kubectl"), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return re.sub(r"(?m)^  namespace: \S+$", f"  namespace: {namespace}", done.stdout)


@SCENARIOS
def test_every_scenario_is_taken_without_a_warning(place: Namespace, scenario: Path) -> None:
    check(place, rendered(scenario))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.relative_to(MANIFESTS).as_posix())
def test_every_manifest_is_taken_without_a_warning(place: Namespace, folder: Path) -> None:
    check(place, built(folder, place.name))


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_every_graph_is_one_that_seldon_takes(place: Namespace, path: Path) -> None:
    dry_run(place, path.read_text())


def test_what_is_exported_for_seldons_wrapper_is_one_that_seldon_takes(place: Namespace) -> None:
    exported = Exported.of("depth", "pocket", "cpu", Catalogue.read())
    deployment = formats.find("seldon").recipe(exported).files["deployment.yaml"]
    assert isinstance(deployment, str)
    dry_run(place, deployment)


def misspell(value: Any, path: str = "") -> Iterator[str]:
    """Adds an unknown field to every mapping in a value; yields where they are, as the server says it."""
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from misspell(one, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, one in list(value.items()):
            yield from misspell(one, f"{path}.{key}" if path else key)
        value[MISSPELT] = "1"
        yield f"{path}.{MISSPELT}" if path else MISSPELT


@SCENARIOS
def test_a_misspelt_field_is_refused_wherever_it_stands(place: Namespace, scenario: Path) -> None:
    found = objects(rendered(scenario))
    wanted = Counter(path for one in found for path in misspell(one))
    with pytest.raises(CommandFailed) as refused:
        dry_run(place, yaml.safe_dump_all(found))
    said = Counter(re.findall(rf'unknown field "(\S*{MISSPELT})"', str(refused.value)))
    assert not said - wanted
    assert not {path for path in wanted - said if path.split(".")[-2] not in OPEN}


def test_the_service_account_may_do_no_more_than_anybody(namespace: Namespace) -> None:
    everything = [one for values in chart.SCENARIOS for one in objects(rendered(values))]
    rights = [one for one in everything if one["apiVersion"].startswith("rbac.authorization.k8s.io/")]
    [account] = {one["metadata"]["name"] for one in chart.of_kind("ServiceAccount", everything)}
    namespace.apply(*chart.of_kind("ServiceAccount", everything), *rights)
    assert can(namespace, account, "--list") == can(namespace, "somebody-else", "--list")
    for wish in ("get pods", "create pods", "get secrets", "list services", "watch configmaps"):
        with pytest.raises(CommandFailed, match="no"):
            can(namespace, account, *wish.split())


def can(namespace: Namespace, account: str, *what: str) -> str:
    """Says what a service account may do; raises CommandFailed when it may not do the one thing asked."""
    return namespace.kubectl("auth", "can-i", *what, f"--as=system:serviceaccount:{namespace.name}:{account}")
