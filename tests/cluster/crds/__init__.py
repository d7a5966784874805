"""Definitions of the kinds that the chart writes for the operators of others, so that a cluster checks them.

KServe's, KEDA's and the Gateway API's come out of their Go modules. Those of Seldon Core and of Prometheus'
operator are here, with the fields that we use. `$ref` names a schema of the same file, or one that the API
server itself publishes: a pod in a SeldonDeployment is checked as strictly as any other.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.kubernetes import Kubernetes
from tests.cluster.toolchain import tools

Schema = dict[str, Any]

HERE = Path(__file__).parent
OTHERS = (
    "kserve/crd/serving.kserve.io_inferenceservices.yaml",
    "kserve/crd/serving.kserve.io_inferencegraphs.yaml",
    "keda/crd/keda.sh_scaledobjects.yaml",
    "gateway/crd/gateway.networking.k8s.io_httproutes.yaml",
)
KIND = "customresourcedefinition.apiextensions.k8s.io"
PUBLISHED = ("api/v1", "apis/autoscaling/v2")
# A schema within itself, such as a node's children, is written out so often.
DEPTH = 8
# What a published schema says and that of a custom resource may not, or need not.
DROPPED = {
    "default", "description", "x-kubernetes-group-version-kind", "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type", "x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy",
    "x-kubernetes-unions",
}  # fmt: skip
NUMBER_OR_TEXT = {"x-kubernetes-int-or-string": True}
EITHER = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": NUMBER_OR_TEXT,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": NUMBER_OR_TEXT,
}


@contextmanager
def installed(cluster: Kubernetes) -> Iterator[None]:
    """Has the cluster know all kinds; one that stays forgets at the end those that it did not know."""
    known = cluster.kubectl("get", "crd", "--output=name").split()
    missing = {name: text for name, text in definitions(cluster).items() if f"{KIND}/{name}" not in known}
    names = [f"{KIND}/{name}" for name in missing]
    try:
        if missing:
            texts = "\n---\n".join(missing.values())
            cluster.kubectl("apply", "--server-side", "--filename=-", stdin=texts, timeout_s=120)
            cluster.wait_established(*names)
        yield
    finally:
        if missing and not cluster.fresh:
            cluster.kubectl("delete", "--ignore-not-found", *names, timeout_s=120)


def definitions(cluster: Kubernetes) -> dict[str, str]:
    """Returns all definitions by name, as an API server takes them."""
    published: Schema = {}
    for path in PUBLISHED:
        found = json.loads(cluster.kubectl("get", f"--raw=/openapi/v3/{path}"))
        published |= found["components"]["schemas"]
    texts = {}
    for file in sorted(HERE.glob("*.yaml")):
        definition, *own = yaml.safe_load_all(file.read_text())
        schemas = {name: schema for some in (published, EITHER, *own) for name, schema in some.items()}
        texts[definition["metadata"]["name"]] = json.dumps(_resolved(definition, schemas, ()))
    for other in OTHERS:
        group, plural = Path(other).stem.split("_")
        texts[f"{plural}.{group}"] = (tools() / other).read_text()
    return texts


def _resolved(value: Any, schemas: Schema, within: tuple[str, ...]) -> Any:
    """Returns a value with the schemas in place of their names."""
    if isinstance(value, list):
        return [_resolved(one, schemas, within) for one in value]
    if not isinstance(value, dict):
        return value
    if "allOf" in value and len(value["allOf"]) == 1:  # how a name gets a description and a default beside it
        value = value["allOf"][0]
    if "$ref" in value:
        name = value["$ref"].removeprefix("#/components/schemas/")
        return _resolved(schemas[name], schemas, (*within, name))
    return {
        key: _resolved(one, schemas, within)
        for key, one in value.items()
        if key not in DROPPED and not _too_deep(one, within)
    }


def _too_deep(value: Any, within: tuple[str, ...]) -> bool:
    name = value.get("items", {}).get("$ref") if isinstance(value, dict) else None
    return name is not None and within.count(name) >= DEPTH
