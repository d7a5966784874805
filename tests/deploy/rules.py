"""What a Kubernetes API server asks of objects, as far as an author's values could break it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from tests.deploy import chart

Object = dict[str, Any]

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}([.]{LABEL})*"
WORD = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
LONGEST_LABEL = 63
LONGEST_NAME = 253
# Kinds whose name is that of a host.
HOSTS = ("Service", "InferenceService", "InferenceGraph", "SeldonDeployment")
# What operators put before and after the names of ours, in labels and names of Services.
MADE_OF = {
    "InferenceService": "isvc.{}-predictor",
    "InferenceGraph": "isvc.{}",
    "SeldonDeployment": "{}-default",
    "Job": "{}",
    "ScaledObject": "{}",
}


def check(rendered: list[Object]) -> None:
    """Checks all objects; raises AssertionError."""
    for one in rendered:
        _check_name(one["kind"], one["metadata"]["name"])
        for metadata in _metadata(one):
            _check_metadata(metadata)
    for pod in chart.pods(rendered):
        volumes = [volume["name"] for volume in pod.spec["volumes"]]
        assert len(set(volumes)) == len(volumes)
        for container in pod.containers:
            _check_container(container, volumes)
    for rollout in _rollouts(rendered):
        assert {str(value).removesuffix("%") for value in rollout.values()} != {"0"}, rollout
    for one in chart.of_kind("Ingress", rendered):
        for rule in one["spec"]["rules"]:
            assert re.fullmatch(rf"([*][.])?{SUBDOMAIN}", rule["host"])
            assert not re.fullmatch(r"[0-9]+([.][0-9]+){3}", rule["host"])
    for one in chart.of_kind("HorizontalPodAutoscaler", rendered):
        assert one["spec"]["minReplicas"] <= one["spec"]["maxReplicas"]
    for one in chart.of_kind("PersistentVolumeClaim", rendered):
        assert parse_quantity(one["spec"]["resources"]["requests"]["storage"]) > 0


def _check_name(kind: str, name: str) -> None:
    pattern = "[a-z]([-a-z0-9]*[a-z0-9])?" if kind in HOSTS else SUBDOMAIN
    assert re.fullmatch(pattern, name), f"{kind} {name}"
    made = MADE_OF.get(kind, "")
    assert len(made.format(name)) <= LONGEST_LABEL, f"{kind} {name}"
    assert len(name) <= (LONGEST_LABEL if kind in HOSTS else LONGEST_NAME)


def _metadata(value: Any) -> Iterator[Object]:
    if isinstance(value, list):
        for one in value:
            yield from _metadata(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key == "metadata" and isinstance(one, dict):
                yield one
            yield from _metadata(one)


def _check_metadata(metadata: Object) -> None:
    for key, value in metadata.get("labels", {}).items():
        _check_key(key)
        assert len(value) <= LONGEST_LABEL
        assert re.fullmatch(f"({WORD})?", value), f"{key}: {value}"
    for key, value in metadata.get("annotations", {}).items():
        _check_key(key)
        assert isinstance(value, str)


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    assert re.fullmatch(WORD, name), key
    assert len(name) <= LONGEST_LABEL
    assert not slash or (re.fullmatch(SUBDOMAIN, prefix) and len(prefix) <= LONGEST_NAME), key


def _check_container(container: Object, volumes: list[str]) -> None:
    names = [one["name"] for one in container.get("env", [])]
    assert len(set(names)) == len(names)
    assert all(isinstance(one.get("value", ""), str) for one in container.get("env", []))
    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert len(set(paths)) == len(paths)
    assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
    requests, limits = (container["resources"].get(key, {}) for key in ("requests", "limits"))
    for name, value in [*requests.items(), *limits.items()]:
        assert name in ("cpu", "memory", "ephemeral-storage") or "/" in name
        assert parse_quantity(value) >= 0
    for name, value in requests.items():
        if "/" in name:
            assert parse_quantity(value) == parse_quantity(limits[name])
        elif name in limits:
            assert parse_quantity(value) <= parse_quantity(limits[name])


def _rollouts(rendered: list[Object]) -> Iterator[Object]:
    for one in chart.of_kind("Deployment", rendered):
        yield one["spec"]["strategy"]["rollingUpdate"]
    for one in chart.of_kind("InferenceService", rendered):
        yield one["spec"]["predictor"]["deploymentStrategy"]["rollingUpdate"]
