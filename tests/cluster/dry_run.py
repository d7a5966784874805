"""What a real API server says of rendered objects, as if they were applied."""

import json
from typing import Any

import yaml

from tests.cluster.kubernetes import Namespace
from tests.deploy import chart

# What an InferenceService says of a pod beside the pod.
BESIDE_POD = {
    "annotations", "deploymentStrategy", "labels", "maxReplicas", "minReplicas", "scaleMetric", "scaleTarget",
}  # fmt: skip


def dry_run(place: Namespace, text: str, *, warnings: bool = False) -> str:
    """Has the server check documents as if they were applied; a warning is an error unless it is let pass."""
    strict = [] if warnings else ["--warnings-as-errors"]
    arguments = ["apply", "--dry-run=server", "--validate=strict", *strict, "--filename=-"]
    return place.kubectl(*arguments, stdin=text, timeout_s=120)


def objects(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def inner(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the server does not look into: documents of engines, pods that operators make."""
    documents = [
        yaml.safe_load(one["data"]["graph.yaml"])
        for one in chart.of_kind("ConfigMap", found)
        if "graph.yaml" in one["data"]  # others hold dashboards
    ]
    pods = [pod for pod in chart.pods(found) if pod.kind in ("InferenceService", "SeldonDeployment")]
    for pod in pods:
        spec = {key: value for key, value in pod.spec.items() if key not in BESIDE_POD}
        selector = {"matchLabels": {"imagegraph/node": pod.labels["imagegraph/node"]}}
        template = {"metadata": {"labels": pod.labels}, "spec": spec}
        documents.append(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": pod.name},
                "spec": {"selector": selector, "template": template},
            }
        )
    return documents


def check(place: Namespace, text: str, *, warnings: bool = False) -> None:
    """Has the server check what is rendered, and what is within it."""
    found = objects(text)
    said = dry_run(place, text, warnings=warnings)
    assert said.count("(server dry run)") == len(found)
    if more := inner(found):
        # JSON, since a name such as `n` would be false in the YAML that Kubernetes reads, which takes no
        # character that is escaped in two halves.
        texts = [json.dumps(one, ensure_ascii=False) for one in more]
        dry_run(place, "\n---\n".join(texts), warnings=warnings)
