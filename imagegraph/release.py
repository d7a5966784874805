"""A release of the chart in a cluster: read by Kubernetes' client, changed by helm.

The split of traffic is part of the release's values, so that the next `helm upgrade` keeps it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegraph import documents
from imagegraph.errors import ImagegraphError, InvalidInput, Unavailable, UnknownName
from imagegraph.manifest import SeldonDeployment

VERSION = ("graph", "bundle", "image")  # in what a predictor differs from the others
READ_TIMEOUT_S = 30
UPGRADE_TIMEOUT_S = 1800

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Release:
    """A release by name and namespace, in the cluster that KUBECONFIG or the pod's own account names."""

    name: str
    namespace: str
    helm: str
    chart: Path

    def values(self) -> dict[str, Any]:
        """Returns the values that were given to it.

        Raises:
            ImagegraphError: helm cannot find it.
        """
        return json.loads(self._run("get", "values", self.name, "--output", "json")) or {}

    def settings(self) -> dict[str, Any]:
        """Returns all values as the chart sees them: what was given over its own."""
        found = json.loads(self._run("get", "values", self.name, "--all", "--output", "json"))
        if "predictors" not in found:
            raise InvalidInput("release", "one of the chart imagegraph", self.name)
        found["predictors"] = {name: one for name, one in found["predictors"].items() if one is not None}
        return dict(found)

    def upgrade(self, predictors: Values) -> None:
        """Gives it other predictors, and waits until what changed is ready."""
        text = json.dumps({**self.values(), "predictors": predictors})
        options = ["--reset-values", "--values", "-", "--wait", "--timeout", f"{UPGRADE_TIMEOUT_S}s"]
        self._run(
            "upgrade", self.name, str(self.chart), *options, text=text, timeout_s=UPGRADE_TIMEOUT_S + 60
        )

    def document(self, platform: str) -> SeldonDeployment:
        """Returns the document by which the engine splits requests now.

        Raises:
            ImagegraphError: there is none.
        """
        from kubernetes import client

        api = self._api()
        try:
            if platform == "seldon":
                found = client.CustomObjectsApi(api).get_namespaced_custom_object(
                    "machinelearning.seldon.io", "v1", self.namespace, "seldondeployments", self.name
                )
                kept = {"metadata": {"name": self.name}, "spec": found["spec"]}
                text = json.dumps({"apiVersion": found["apiVersion"], "kind": found["kind"], **kept})
            else:
                name = f"{self.name}-engine"
                config = client.CoreV1Api(api).read_namespaced_config_map(name, self.namespace)
                text = config.data["graph.yaml"]
        except client.ApiException as error:
            if error.status == 404:
                raise ImagegraphError(f"release '{self.name}' has no engine that splits requests") from error
            raise ImagegraphError(f"Kubernetes says {error.status} {error.reason}") from error
        return documents.parse(text, SeldonDeployment, f"document of release '{self.name}'")

    def pods(self, predictor: str) -> tuple[int, int]:
        """Returns how many pods of a predictor are ready, and how many there are."""
        from kubernetes import client

        selector = f"app.kubernetes.io/instance={self.name},imagegraph/predictor={predictor}"
        found = client.CoreV1Api(self._api()).list_namespaced_pod(
            self.namespace, label_selector=selector, _request_timeout=READ_TIMEOUT_S
        )
        alive = [pod for pod in found.items if pod.metadata.deletion_timestamp is None]
        ready = [
            pod
            for pod in alive
            if any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])
        ]
        return len(ready), len(alive)

    def _api(self) -> Any:
        from kubernetes import config

        try:
            return config.new_client_from_config()
        except config.ConfigException as error:
            raise Unavailable(f"no cluster: {error}; set KUBECONFIG") from error

    def _run(self, *arguments: str, text: str | None = None, timeout_s: float = READ_TIMEOUT_S) -> str:
        command = [self.helm, *arguments, "--namespace", self.namespace]
        try:
            done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"`helm {arguments[0]}` took longer than {timeout_s:g} s") from error
        if done.returncode:
            raise ImagegraphError(f"`helm {arguments[0]}` failed: {done.stderr.strip()}")
        return done.stdout


def promotion(predictors: Values, name: str) -> list[dict[str, Any]]:
    """Returns the predictors step by step.

    First the default becomes the canary's version and takes its traffic; then nobody asks the canary
    any more, and it goes.

    Raises:
        UnknownName: there is no such predictor beside the default.
    """
    canary = _beside_default(predictors, name)
    version = {key: canary[key] for key in VERSION if key in canary}
    return _retire(predictors, name, version)


def rollback(predictors: Values, name: str) -> list[dict[str, Any]]:
    """Returns the predictors step by step: the default takes the canary's traffic, then the canary goes.

    Raises:
        UnknownName: there is no such predictor beside the default.
    """
    canary = _beside_default(predictors, name)
    default = predictors["default"]
    steps = _retire(predictors, name, {key: default[key] for key in VERSION if key in default})
    return steps if canary.get("traffic") else steps[1:]


def _beside_default(predictors: Values, name: str) -> Values:
    others = [other for other in predictors if other != "default"]
    if name not in others:
        raise UnknownName("canary", name, others)
    canary: Values = predictors[name]
    return canary


def _retire(predictors: Values, name: str, version: Values) -> list[dict[str, Any]]:
    canary = predictors[name]
    share = 0 if canary.get("shadow") else canary.get("traffic", 0)
    default = {"traffic": predictors["default"]["traffic"] + share, **version}
    asked_no_more = {**predictors, "default": default, name: {**canary, "traffic": 0}}
    return [asked_no_more, {key: one for key, one in asked_no_more.items() if key != name}]
