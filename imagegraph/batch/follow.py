"""Follows the Job of a batch: one bar over all of its pods, those that were killed among them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegraph.batch.show import Count, Show
from imagegraph.errors import ImagegraphError, describe

LOOK_S = 1.0
TAIL = 3  # lines of a pod's log, the last of which says how far it is
_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass
class Ended:
    """How a Job has ended.

    Attributes:
        failed: rows that have failed.
        why: what stopped parts of it, if something did.
    """

    done: int = 0
    failed: int = 0
    why: str = ""


@dataclass
class Follower:
    """Makes a Job, or finds the one that is there, and follows it.

    Attributes:
        told: what each part has said last.
    """

    namespace: str
    show: Show
    told: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from kubernetes import client

        self._jobs, self._pods = client.BatchV1Api(), client.CoreV1Api()

    def begin(self, manifest: Mapping[str, Any]) -> str:
        """Makes the Job unless it runs already; one that has ended makes room for its successor.

        Raises:
            ImagegraphError: the cluster refuses it.
        """
        from kubernetes.client import ApiException

        name = str(manifest["metadata"]["name"])
        try:
            there = self._job(name)
            if there and _end(there):
                self._delete(name)
                there = None
            if there is None:
                self._jobs.create_namespaced_job(self.namespace, manifest)
        except ApiException as error:
            raise ImagegraphError(f"the cluster refuses Job {name}: {_words(error)}") from error
        self.show.say(f"Job {name} in {self.namespace}: {'it runs already' if there else 'made'}")
        return name

    def follow(self, name: str) -> Ended:
        """Shows how far the Job is until it has ended.

        Raises:
            ImagegraphError: somebody has deleted it, or the cluster does not answer any more.
        """
        count = Count(0)
        while True:
            job = self._patiently(name)
            self._listen(name)
            done, failed, before, total = (
                sum(int(one.get(fact, 0)) for one in self.told.values())
                for fact in ("done", "failed", "before", "total")
            )
            if total:
                count.before, count.done, count.failed, count.total = (
                    before,
                    done - before,
                    failed,
                    total - before,
                )
                self.show.update(count)
            if end := _end(job):
                return Ended(done, failed, "" if end.type == "Complete" else f"{end.reason}: {end.message}")
            time.sleep(LOOK_S)

    def _patiently(self, name: str) -> Any:
        """Returns the Job; an API server that is away for a moment is waited for."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        for attempt in range(10):
            try:
                job = self._job(name)
                if job is None:
                    raise ImagegraphError(f"Job {name} is not there any more; give the same command to go on")
                return job
            except (ApiException, HTTPError) as error:
                why = describe(error)
                time.sleep(min(2**attempt, 15))
        raise ImagegraphError(f"the cluster does not answer, and Job {name} goes on: {why}")

    def _listen(self, name: str) -> None:
        """Reads what the pods have said last."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            pods = self._pods.list_namespaced_pod(self.namespace, label_selector=f"job-name={name}").items
            for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp):
                index = int(pod.metadata.annotations[_INDEX])
                if self.told.get(index, {}).get("ended") or pod.status.phase == "Pending":
                    continue
                if said := self._last(pod.metadata.name):
                    self.told[index] = said
        except (ApiException, HTTPError):
            return  # it is asked again soon

    def _last(self, pod: str) -> Mapping[str, Any] | None:
        from kubernetes.client import ApiException

        try:
            log = self._pods.read_namespaced_pod_log(
                pod, self.namespace, container="batch", tail_lines=TAIL, _preload_content=False
            ).data.decode(errors="replace")
        except ApiException:
            return None  # it is being made, or is gone
        for line in reversed(log.splitlines()):
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict) and "total" in said:
                return said
        return None

    def _job(self, name: str) -> Any:
        from kubernetes.client import ApiException

        try:
            return self._jobs.read_namespaced_job(name, self.namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def _delete(self, name: str) -> None:
        self._jobs.delete_namespaced_job(name, self.namespace, propagation_policy="Foreground")
        while self._job(name) is not None:
            time.sleep(LOOK_S / 4)


def configure(namespace: str | None) -> str:
    """Reads whom to ask, as kubectl does, or inside a cluster; returns the namespace.

    Raises:
        ImagegraphError: there is no cluster to ask, or no client for it.
    """
    try:
        from kubernetes import config
    except ImportError as error:
        raise ImagegraphError("batches on Kubernetes need its client: install imagegraph[serve]") from error
    try:
        config.load_kube_config()
        context = config.list_kube_config_contexts()[1].get("context", {})
        return namespace or str(context.get("namespace") or "default")
    except config.ConfigException as outside:
        try:
            config.load_incluster_config()
        except config.ConfigException:
            raise ImagegraphError(f"no cluster to ask: {outside}") from outside
        return namespace or "default"


def _end(job: Any) -> Any:
    """Returns the condition with which a Job has ended, if it has."""
    conditions = job.status.conditions or []
    return next(
        (one for one in conditions if one.type in ("Complete", "Failed") and one.status == "True"), None
    )


def _words(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return describe(error)
