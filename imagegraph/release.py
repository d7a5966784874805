"""A release of the chart in a cluster: read by Kubernetes' client, changed by helm.

The split of traffic is part of the release's values, so that the next `helm upgrade` keeps it.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegraph.errors import ImagegraphError, InvalidInput, Unavailable, UnknownName

VERSION = ("graph", "bundle", "image")  # in what a predictor differs from the others
READ_TIMEOUT_S = 30
UPGRADE_TIMEOUT_S = 1800
POLL_S = 1.0

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
        found: dict[str, Any] | None = json.loads(self._run("get", "values", self.name, "--output", "json"))
        return found or {}

    def settings(self) -> dict[str, Any]:
        """Returns all values as the chart sees them: what was given over its own."""
        found = json.loads(self._run("get", "values", self.name, "--all", "--output", "json"))
        if "predictors" not in found:
            raise InvalidInput("release", "one of the chart imagegraph", self.name)
        found["predictors"] = {name: one for name, one in found["predictors"].items() if one is not None}
        return dict(found)

    def upgrade(self, predictors: Values) -> None:
        """Gives it other predictors; then what changed is ready, and nobody asks those before any more.

        Raises:
            ImagegraphError: helm says why it failed.
            Unavailable: it took too long.
        """
        text = json.dumps({**self.values(), "predictors": predictors})
        options = ["--reset-values", "--values", "-", "--wait", "--timeout", f"{UPGRADE_TIMEOUT_S}s"]
        self._run(
            "upgrade", self.name, str(self.chart), *options, text=text, timeout_s=UPGRADE_TIMEOUT_S + 60
        )
        # helm waits for the engine's new pods alone; the old ones still split requests as before.
        end = time.monotonic() + UPGRADE_TIMEOUT_S
        while self._engine_is_changing():
            if time.monotonic() > end:
                raise Unavailable(f"old pods of the engine still run after {UPGRADE_TIMEOUT_S} s")
            time.sleep(POLL_S)

    def pods(self, predictor: str) -> tuple[int, int]:
        """Returns how many pods of a predictor are ready, and how many there are.

        Raises:
            Unavailable: there is no cluster, or it does not answer.
        """
        found = self._list_pods(f"imagegraph/predictor={predictor}")
        alive = [pod for pod in found if pod.metadata.deletion_timestamp is None]
        ready = [
            pod
            for pod in alive
            if any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])
        ]
        return len(ready), len(alive)

    def _engine_is_changing(self) -> bool:
        """Says whether a pod of the engine is on its way out, or will be."""
        pods = self._list_pods("app.kubernetes.io/component=engine")
        versions = {pod.metadata.labels["pod-template-hash"] for pod in pods}
        return len(versions) > 1 or any(pod.metadata.deletion_timestamp for pod in pods)

    def _list_pods(self, selector: str) -> list[Any]:
        from kubernetes import client, config
        from urllib3.exceptions import HTTPError

        try:
            try:
                config.load_kube_config()
            except config.ConfigException:
                config.load_incluster_config()
            found = client.CoreV1Api().list_namespaced_pod(
                self.namespace,
                label_selector=f"app.kubernetes.io/instance={self.name},{selector}",
                _request_timeout=READ_TIMEOUT_S,
            )
        except (client.ApiException, config.ConfigException, HTTPError) as error:
            raise Unavailable(f"Kubernetes does not show the pods of {selector}: {error}") from error
        return list(found.items)

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
    canary = beside_default(predictors, name)
    default = predictors["default"]
    version = {key: canary[key] for key in VERSION if key in canary}
    if "image" in canary:
        # What the canary leaves out it has from the default; but of another tag the digest is another.
        kept = {key: value for key, value in default.get("image", {}).items() if key != "digest"}
        version["image"] = {**kept, **canary["image"]}
    return _retire(predictors, name, {**default, **version})


def rollback(predictors: Values, name: str) -> list[dict[str, Any]]:
    """Returns the predictors step by step: the default takes the canary's traffic, then the canary goes.

    Raises:
        UnknownName: there is no such predictor beside the default.
    """
    canary = beside_default(predictors, name)
    steps = _retire(predictors, name, predictors["default"])
    return steps if canary.get("traffic") else steps[1:]


def beside_default(predictors: Values, name: str) -> Values:
    """Returns a predictor that is not the default.

    Raises:
        UnknownName: there is none of that name.
    """
    others = [other for other in predictors if other != "default"]
    if name not in others:
        raise UnknownName("canary", name, others)
    canary: Values = predictors[name]
    return canary


def _retire(predictors: Values, name: str, version: Values) -> list[dict[str, Any]]:
    """Returns the predictors step by step, the default as in `version` with the canary's traffic."""
    canary = predictors[name]
    share = 0 if canary.get("shadow") else canary.get("traffic", 0)
    default = {**version, "traffic": predictors["default"]["traffic"] + share}
    asked_no_more = {**predictors, "default": default, name: {**canary, "traffic": 0}}
    return [asked_no_more, {key: one for key, one in asked_no_more.items() if key != name}]
