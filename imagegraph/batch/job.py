"""A batch as a Job of Kubernetes: each of its pods runs a part of the rows, all write to one volume."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import imagegraph
from imagegraph.batch.models import Model
from imagegraph.spec.catalogue import Catalogue

DATA, MODELS = "/data", "/models"
REFUSED = 2  # how the command ends where another try would be refused, too
GRACE_S = 60  # for the rows that are under way when a pod must go
INDEX = "$(JOB_COMPLETION_INDEX)"  # Kubernetes puts the number of the pod there
_GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class Pods:
    """Where and how the pods of a batch run.

    Attributes:
        claim: of the volume with the inputs, which gets the results unless they go to a URL.
        weights: claim of a volume with weights; without, each pod pulls them.
        count: into how many parts the rows go, and `parallelism`: how many run at once.
        pool: labels of the nodes that they run on.
        gpus: of each pod, and `cpu` cores; without, what the catalogue says.
        secret: whose keys are their environment, such as credentials of the URL of the results.
        backoff: how often a part is tried again.
        ttl_s: how long the Job stays after its end.
    """

    claim: str
    weights: str | None = None
    count: int = 4
    parallelism: int = 4
    pool: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0
    cpu: float | None = None
    secret: str | None = None
    backoff: int = 6
    ttl_s: int = 86_400
    image: str = f"imagegraph:{imagegraph.__version__}"
    model_init: str = f"imagegraph/model-init:{imagegraph.__version__}"


def name(graph: str, words: Sequence[str]) -> str:
    """Returns the name of the Job of a command: the same words follow the same Job."""
    digest = hashlib.sha256("\0".join(words).encode()).hexdigest()[:10]
    return f"batch-{graph}"[:50].rstrip("-") + f"-{digest}"


def manifest(
    graph: str, words: Sequence[str], models: Iterable[Model], catalogue: Catalogue, pods: Pods
) -> dict[str, Any]:
    """Returns the Job.

    Args:
        words: of the command, behind `imagegraph batch`; its files are on the volume.
        models: that rows may be drawn with, whose weights a pod needs.
    """
    labels = {"app.kubernetes.io/name": "imagegraph", "app.kubernetes.io/component": "batch"}
    refused = {"operator": "In", "values": [REFUSED], "containerName": "batch"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name(graph, words), "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": pods.count,
            "parallelism": min(pods.parallelism, pods.count),
            "backoffLimitPerIndex": pods.backoff,
            "ttlSecondsAfterFinished": pods.ttl_s,
            "podFailurePolicy": {
                "rules": [
                    {"action": "FailJob", "onExitCodes": refused},
                    # Of a node that is drained: that is no failure of the pod.
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": _pod(words, list(models), catalogue, pods)},
        },
    }


def _pod(words: Sequence[str], models: Sequence[Model], catalogue: Catalogue, pods: Pods) -> dict[str, Any]:
    weighing = _weighing(models, catalogue)
    volumes: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "data", "persistentVolumeClaim": {"claimName": pods.claim}},
    ]
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "data", "mountPath": DATA}]
    if weighing:
        claimed = {"persistentVolumeClaim": {"claimName": pods.weights}}
        volumes.append({"name": "models", **(claimed if pods.weights else {"emptyDir": {}})})
        mounts.append({"name": "models", "mountPath": MODELS, "readOnly": True})
    cpus = {"resourceFieldRef": {"containerName": "batch", "resource": "requests.cpu"}}
    container = {
        "name": "batch",
        "image": pods.image,
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "workingDir": DATA,
        "args": ["batch", *words, "--shard", f"{INDEX}/{pods.count}"],
        "env": [{"name": "OMP_NUM_THREADS", "valueFrom": cpus}],
        "envFrom": [{"secretRef": {"name": pods.secret}}] if pods.secret else [],
        "resources": _resources(models, catalogue, pods),
        "securityContext": _CONFINED,
        "volumeMounts": mounts,
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }
    if weighing:
        spec["initContainers"] = [_pull(number, *one, pods) for number, one in enumerate(weighing.items())]
    if pods.pool:
        spec["nodeSelector"] = dict(pods.pool)
    if pods.gpus:
        spec["tolerations"] = [{"key": _GPU, "operator": "Exists"}]
    return spec


_CONFINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def _weighing(models: Sequence[Model], catalogue: Catalogue) -> dict[str, list[str]]:
    """Returns the entries with weights, by bundle."""
    found: dict[str, list[str]] = {}
    for model in models:
        for entry in catalogue.needed(model.root) if model.root else ():
            if catalogue.entry(entry).variant(model.bundle).weights:
                some = found.setdefault(model.bundle, [])
                some += [] if entry in some else [entry]
    return found


def _pull(number: int, bundle: str, entries: Sequence[str], pods: Pods) -> dict[str, Any]:
    """Returns the container that fetches the weights of a bundle, or finds them on the volume."""
    return {
        "name": f"model-init-{number}",
        "image": pods.model_init,
        "imagePullPolicy": "IfNotPresent",
        "args": ["pull", "--bundle", bundle, *(f"--entry={entry}" for entry in entries)],
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": _CONFINED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "models", "mountPath": MODELS}],
    }


def _resources(models: Sequence[Model], catalogue: Catalogue, pods: Pods) -> dict[str, Any]:
    """Returns what the catalogue says that all entries of the largest model need in one process."""
    needs = [
        [catalogue.entry(name).variant(model.bundle).resources for name in catalogue.needed(model.root)]
        for model in models
        if model.root
    ]
    cpu = pods.cpu or max((one.cpu for some in needs for one in some), default=1.0)
    memory = max((sum(one.memory_gib for one in some) for some in needs), default=1.0)
    asked = {"cpu": f"{cpu:g}", "memory": f"{memory:g}Gi"}
    gpus = {_GPU: str(pods.gpus)} if pods.gpus else {}
    return {"requests": {**asked, **gpus}, "limits": {"memory": f"{2 * memory:g}Gi", **gpus}}
