"""What of a release there is in the cluster: its pods and engines, and what failed upgrades left behind."""

from __future__ import annotations

import gzip
import json
import os
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from imagegraph.errors import ImagegraphError, Unavailable

READ_TIMEOUT_S = 30
POLL_S = 1.0
# Why a container does not start, and will not by itself.
STUCK = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}
# Of what is made for each predictor: group, version and plural.
KINDS = (
    ("apps", "v1", "deployments"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
    ("keda.sh", "v1alpha1", "scaledobjects"),
    ("serving.kserve.io", "v1beta1", "inferenceservices"),
    ("serving.kserve.io", "v1alpha1", "inferencegraphs"),
)
OVERDUE = timedelta(seconds=30)  # a pod that should have ended so long ago is on a machine that is silent


@dataclass(frozen=True)
class Rollout:
    """A release by name and namespace, in the cluster that helm finds, too.

    KUBECONFIG or the pod's own account names it; HELM_KUBECONTEXT may choose among those of KUBECONFIG.

    Every method raises Unavailable where there is no cluster, or it does not answer.
    """

    release: str
    namespace: str

    def ready(self, predictor: str) -> tuple[int, int]:
        """Returns how many pods of a predictor are ready, and how many there are."""
        pods = [pod for pod in self._pods(_of(predictor)) if pod.metadata.deletion_timestamp is None]
        return sum(_holds(pod, "Ready") for pod in pods), len(pods)

    def wait_for_engines(self, timeout_s: float, *, room_s: float) -> None:
        """Waits until every engine does what the release says, and those before are gone.

        Args:
            room_s: that a new one may wait for a machine with room for it.

        Raises:
            ImagegraphError: a new one cannot start; the message says why.
            Unavailable: it took longer.
        """
        start = time.monotonic()
        while True:
            engines, pods = self._engines(), self._pods(_ENGINE)
            if all(map(_is_rolled_out, engines)) and not any(map(_is_leaving, pods)):
                return
            took_s = time.monotonic() - start
            if why := self._stuck(engines, pods, homeless=took_s > room_s):
                raise ImagegraphError(f"the new engine does not start: {why}")
            if took_s > timeout_s:
                raise Unavailable(f"old engines still run, or new ones still start, after {timeout_s:g} s")
            time.sleep(POLL_S)

    def remove(self, predictor: str) -> bool:
        """Removes what there is of a predictor that no values name; says whether there was anything.

        helm forgets what an upgrade brought that failed: it compares with the last one that did not.
        """
        found = False
        labels = {"label_selector": self._selector(_of(predictor)), **_TIMEOUT}
        with self._cluster() as client:
            for group, version, plural in KINDS:
                remove = client.CustomObjectsApi().delete_collection_namespaced_custom_object
                try:
                    removed = remove(group, version, self.namespace, plural, **labels)
                except client.ApiException as error:
                    # There is no such kind here; whoever may not ask for an operator's has made none.
                    if error.status != 404 and not (error.status == 403 and "." in group):
                        raise
                else:
                    found = found or bool(removed.get("items"))
            client.CoreV1Api().delete_collection_namespaced_service(self.namespace, **labels)
        return found

    def give_up_upgrades(self) -> list[str]:
        """Marks upgrades as failed that are under way, or whose helm was killed; returns their revisions.

        Until then helm refuses another one.

        Source: helm v3, pkg/storage/driver/util.go: a release is kept as base64 of gzip of JSON.
        """
        labels = f"owner=helm,name={self.release},status in (pending-upgrade,pending-rollback)"
        with self._cluster() as client:
            core = client.CoreV1Api()
            found = core.list_namespaced_secret(self.namespace, label_selector=labels, **_TIMEOUT).items
            for secret in found:
                kept = json.loads(gzip.decompress(b64decode(b64decode(secret.data["release"]))))
                kept["info"]["status"] = "failed"
                data = b64encode(b64encode(gzip.compress(json.dumps(kept).encode()))).decode()
                change = {"metadata": {"labels": {"status": "failed"}}, "data": {"release": data}}
                core.patch_namespaced_secret(secret.metadata.name, self.namespace, change, **_TIMEOUT)
        return [secret.metadata.labels["version"] for secret in found]

    def _stuck(self, engines: list[Any], pods: list[Any], *, homeless: bool) -> str:
        """Says why an engine of the newest version cannot start, if so; or, `homeless`, has no machine."""
        if not all(map(_is_seen, engines)):
            return ""
        with self._cluster() as client:
            sets = client.AppsV1Api().list_namespaced_replica_set(
                self.namespace, label_selector=self._selector(_ENGINE), **_TIMEOUT
            )
        newest = {one.metadata.annotations[_REVISION] for one in engines}
        versions = {
            one.metadata.labels[_VERSION]
            for one in sets.items
            if one.metadata.annotations[_REVISION] in newest
        }
        for pod in (one for one in pods if one.metadata.labels[_VERSION] in versions):
            for condition in pod.status.conditions or []:
                if homeless and condition.reason == "Unschedulable":
                    return f"pod '{pod.metadata.name}' is Unschedulable: {condition.message}"
            for container in pod.status.container_statuses or []:
                waiting = container.state.waiting
                if waiting and waiting.reason in STUCK:
                    ended = container.last_state and container.last_state.terminated
                    words = (ended and ended.message) or waiting.message or ""
                    return f"pod '{pod.metadata.name}' is in {waiting.reason}: {words.strip()[-500:]}"
        return ""

    def _engines(self) -> list[Any]:
        with self._cluster() as client:
            found = client.AppsV1Api().list_namespaced_deployment(
                self.namespace, label_selector=self._selector(_ENGINE), **_TIMEOUT
            )
        return list(found.items)

    def _pods(self, labels: str) -> list[Any]:
        with self._cluster() as client:
            found = client.CoreV1Api().list_namespaced_pod(
                self.namespace, label_selector=self._selector(labels), **_TIMEOUT
            )
        return list(found.items)

    def _selector(self, labels: str) -> str:
        return f"app.kubernetes.io/instance={self.release},{labels}"

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        """Gives Kubernetes' client."""
        from kubernetes import client, config
        from urllib3.exceptions import HTTPError

        try:
            try:
                config.load_kube_config(context=os.environ.get("HELM_KUBECONTEXT") or None)
            except config.ConfigException:
                config.load_incluster_config()
            yield client
        except (client.ApiException, config.ConfigException, HTTPError) as error:
            raise Unavailable(f"Kubernetes does not show '{self.release}': {error}") from error


_ENGINE = "app.kubernetes.io/component=engine"
_REVISION, _VERSION = "deployment.kubernetes.io/revision", "pod-template-hash"
_TIMEOUT: dict[str, Any] = {"_request_timeout": READ_TIMEOUT_S}


def _of(predictor: str) -> str:
    return f"imagegraph/predictor={predictor}"


def _holds(pod: Any, condition: str) -> bool:
    return any(one.type == condition and one.status == "True" for one in pod.status.conditions or [])


def _is_leaving(pod: Any) -> bool:
    ends = pod.metadata.deletion_timestamp
    return bool(ends and datetime.now(UTC) < ends + OVERDUE)


def _is_seen(deployment: Any) -> bool:
    """Whether its controller has seen what it is now."""
    return bool((deployment.status.observed_generation or 0) >= deployment.metadata.generation)


def _is_rolled_out(deployment: Any) -> bool:
    wanted, status = deployment.spec.replicas, deployment.status
    updated, available = status.updated_replicas or 0, status.available_replicas or 0
    return _is_seen(deployment) and bool(updated == (status.replicas or 0) == wanted <= available)
