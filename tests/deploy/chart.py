"""The chart as tests see it: rendered objects, and the pods in them whatever the platform."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imagegraph.deploy import render
from imagegraph.spec import strict_yaml
from imagegraph.spec.catalogue import ROOT
from imagegraph.spec.seldon import SeldonDeployment
from tests.left_out import leave_out

CHART = ROOT / "charts" / "imagegraph"
SCENARIOS = sorted(CHART.glob("ci/*-values.yaml"))
RELEASE = "photos"
METADATA = ("labels", "annotations")


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice; Kubernetes would take the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"a key twice in {keys}"
        return super().construct_mapping(node, deep=deep)


@dataclass(frozen=True)
class Pod:
    """A pod template with the name of what makes it."""

    kind: str
    name: str
    metadata: dict[str, Any]
    spec: dict[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.metadata["labels"]
        return labels

    @property
    def annotations(self) -> dict[str, str]:
        annotations: dict[str, str] = self.metadata.get("annotations", {})
        return annotations

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def node(self) -> tuple[str, str] | None:
        """Predictor and node that run here, if any."""
        key = self.labels.get("imagegraph/predictor"), self.labels.get("imagegraph/node")
        return key if all(key) else None  # type: ignore[return-value]


def tool(name: str) -> str:
    """Returns the program of that name: the project's own build, or the one on the PATH."""
    found = shutil.which(name, path=f"{ROOT}/.tools/bin") or shutil.which(name)
    if found is None:
        leave_out(f"{name} is not here: `make cluster-tools` brings it")
    return found


def helm(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("helm"), *arguments], input=stdin, capture_output=True, text=True, timeout=60)


def template(
    *arguments: str, release: str = RELEASE, given: dict[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    """Renders the chart, with values by arguments of helm or as they would stand in a file."""
    kubernetes = ("--kube-version", render.KUBERNETES)
    # helm takes an unquoted `y` for a boolean, Python does not.
    text = yaml.safe_dump(given or {}, default_style='"')
    return helm("template", release, str(CHART), *kubernetes, "--values", "-", *arguments, stdin=text)


def objects(
    *arguments: str, release: str = RELEASE, given: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Renders the chart and reads what came out."""
    done = template(*arguments, release=release, given=given)
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout)


def parsed(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.load_all(text, Loader=StrictLoader) if one]


def of_kind(kind: str, rendered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in rendered if one["kind"] == kind]


def pods(rendered: list[dict[str, Any]]) -> Iterator[Pod]:
    for one in rendered:
        kind, name = one["kind"], one["metadata"]["name"]
        if kind in ("Deployment", "Job"):
            made = one["spec"]["template"]
            yield Pod(kind, name, made["metadata"], made["spec"])
        elif kind == "InferenceService":
            predictor = one["spec"]["predictor"]
            yield Pod(kind, name, {key: predictor.get(key, {}) for key in METADATA}, predictor)
        elif kind == "SeldonDeployment":
            for predictor in one["spec"]["predictors"]:
                for made in predictor["componentSpecs"]:
                    name = f"{predictor['name']}-{made['spec']['containers'][0]['name']}"
                    yield Pod(kind, name, made["metadata"], made["spec"])


def document(rendered: list[dict[str, Any]]) -> SeldonDeployment | None:
    """The document that an engine reads: our own's, or Seldon's."""
    for one in rendered:
        if one["kind"] == "SeldonDeployment":
            return strict_yaml.parse(yaml.safe_dump(one), SeldonDeployment, "rendered")
        if one["kind"] == "ConfigMap":
            return strict_yaml.parse(one["data"]["graph.yaml"], SeldonDeployment, "rendered")
    return None


def values(path: Path) -> dict[str, Any]:
    """The values of a scenario over the chart's own, as far as tests look at them."""
    own = yaml.safe_load((CHART / "values.yaml").read_text())
    given = yaml.safe_load(path.read_text()) or {}
    return {
        key: {**own[key], **given.get(key, {})} if isinstance(own[key], dict) else given.get(key, own[key])
        for key in own
    }
