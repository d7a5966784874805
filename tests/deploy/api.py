"""The part of Kubernetes' API that a canary's commands and helm ask, over what a test puts there."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Objects = list[dict[str, Any]]
NAMESPACE = "prod"
# Of what helm looks for, by group and version.
KINDS = {
    "v1": {
        "configmaps": "ConfigMap",
        "persistentvolumeclaims": "PersistentVolumeClaim",
        "secrets": "Secret",
        "serviceaccounts": "ServiceAccount",
        "services": "Service",
    },
    "apps/v1": {"deployments": "Deployment"},
    "autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
    "keda.sh/v1alpha1": {"scaledobjects": "ScaledObject"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "serving.kserve.io/v1alpha1": {"inferencegraphs": "InferenceGraph"},
    "serving.kserve.io/v1beta1": {"inferenceservices": "InferenceService"},
}


class Api(ThreadingHTTPServer):
    """Serves one namespace.

    Attributes:
        objects: what there is, by plural; of a kind that is missing there is no definition.
        engines: what `objects` is overlaid with, one after the other at each look at Deployments.
        deleted: plural and name of what was deleted.
        forbidden: plurals of what nobody may see or delete.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Objects] = {
            "pods": [],
            "services": [],
            "secrets": [],
            "deployments": [],
            "replicasets": [],
            "poddisruptionbudgets": [],
            "horizontalpodautoscalers": [],
        }
        self.engines: list[dict[str, Objects]] = []
        self.deleted: list[str] = []
        self.forbidden: set[str] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    def add(self, plural: str, name: str, labels: dict[str, str], **about: Any) -> None:
        self.objects[plural].append(made(name, labels, **about))


def made(name: str, labels: dict[str, str], **about: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"app.kubernetes.io/instance": "photos", **labels}}
    return {"metadata": {**metadata, **about.pop("metadata", {})}, **about}


def pod(predictor: str, ready: bool) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return made(f"photos-{predictor}", {"imagegraph/predictor": predictor}, status={"conditions": conditions})


ENGINE = {"app.kubernetes.io/component": "engine"}
REVISION = "deployment.kubernetes.io/revision"


def engines(
    *, seen: bool = True, old: int = 0, stuck: bool = False, homeless: bool = False, leaving: str = ""
) -> dict[str, Objects]:
    """Returns a moment of a rollout of two engines.

    Args:
        seen: whether the controller knows of it.
        old: how many are not replaced yet.
        stuck: the newest crashes again and again.
        homeless: no machine has room for the newest.
        leaving: when the last of those before ends.
    """
    status = {
        "observedGeneration": 2 if seen else 1,
        "replicas": 2 + stuck,
        "updatedReplicas": 2 - old if seen else 0,
        "availableReplicas": 2,
    }
    about = {"annotations": {REVISION: "2"}, "generation": 2}
    spec = {"replicas": 2, "selector": {"matchLabels": ENGINE}, "template": {}}
    deployment = made("photos-engine", ENGINE, metadata=about, spec=spec, status=status)
    sets = [
        made(f"photos-engine-{version}", {**ENGINE, "pod-template-hash": version}, metadata=notes)
        for version, notes in (
            ("old", {"annotations": {REVISION: "1"}}),
            ("new", {"annotations": {REVISION: "2"}}),
        )
    ]
    container: dict[str, Any] = {
        "name": "engine",
        "ready": not stuck,
        "restartCount": 0,
        "image": "i",
        "imageID": "i",
    }
    container["state"] = {"running": {}}
    if stuck:
        container["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        container["lastState"] = {
            "terminated": {"exitCode": 1, "message": "error: graph.yaml: unknown node 'x'"}
        }
    newest: dict[str, Any] = {"containerStatuses": [container]}
    if homeless:
        why = {"reason": "Unschedulable", "message": "0/1 nodes are available"}
        newest = {"conditions": [{"type": "PodScheduled", "status": "False", **why}]}
    pods = [made("photos-engine-new", {**ENGINE, "pod-template-hash": "new"}, status=newest)]
    if leaving:
        end = {"deletionTimestamp": leaving}
        pods.append(
            made("photos-engine-old", {**ENGINE, "pod-template-hash": "old"}, metadata=end, status={})
        )
    return {"deployments": [deployment], "replicasets": sets, "pods": pods}


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        before, _, which = path.path.partition(f"/namespaces/{NAMESPACE}/")
        if not which:
            return self._answer(200, self._discovery(path.path.strip("/")))
        plural, _, name = which.partition("/")
        if plural in self.server.forbidden:
            return self._answer(403, {"kind": "Status", "status": "Failure", "reason": "Forbidden"})
        selector = parse_qs(path.query).get("labelSelector", [""])[0]
        if plural == "deployments" and "component=engine" in selector and len(self.server.engines) > 1:
            self.server.engines.pop(0)
        overlay = self.server.engines[0] if self.server.engines else {}
        found = [*self.server.objects.get(plural, []), *overlay.get(plural, [])]
        version = before.partition("/")[2].partition("/")[2]
        kind = KINDS.get(version, {}).get(plural, "")
        if name:
            found = [one for one in found if one["metadata"]["name"] == name]
        if plural not in self.server.objects or (name and not found):
            return self._answer(404, {"kind": "Status", "status": "Failure", "reason": "NotFound"})
        if name:
            return self._answer(200, {"kind": kind, "apiVersion": version, **found[0]})
        items = [one for one in found if not selector or _matches(one, selector)]
        self._answer(200, {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": items})

    def _discovery(self, path: str) -> dict[str, Any]:
        """What there may be in this cluster."""
        there = {
            version: {plural: kind for plural, kind in kinds.items() if plural in self.server.objects}
            for version, kinds in KINDS.items()
        }
        version = path.partition("/")[2]
        if path == "version":
            return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
        if path == "api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "apis":
            named = [one.partition("/") for one, kinds in there.items() if kinds and "/" in one]
            groups = [
                {
                    "name": group,
                    "versions": [{"groupVersion": f"{group}/{number}", "version": number}],
                    "preferredVersion": {"groupVersion": f"{group}/{number}", "version": number},
                }
                for group, _, number in named
            ]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        resources = [
            {"name": plural, "kind": kind, "namespaced": True, "verbs": ["get", "list"]}
            for plural, kind in there.get(version, {}).items()
        ]
        return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}

    def do_DELETE(self) -> None:
        path = urlsplit(self.path)
        _, _, which = path.path.partition(f"/namespaces/{NAMESPACE}/")
        plural, _, name = which.partition("/")
        if plural in self.server.forbidden:
            return self._answer(403, {"kind": "Status", "status": "Failure"})
        if plural not in self.server.objects:
            return self._answer(404, {"kind": "Status", "status": "Failure"})
        selector = parse_qs(path.query).get("labelSelector", [""])[0]
        there = self.server.objects[plural]
        gone = [
            one for one in there if one["metadata"]["name"] == name or (not name and _matches(one, selector))
        ]
        self.server.objects[plural] = [one for one in there if one not in gone]
        self.server.deleted += [f"{plural}/{one['metadata']['name']}" for one in gone]
        self._answer(200, {"kind": "List", "items": gone})

    def do_PATCH(self) -> None:
        plural, name = urlsplit(self.path).path.split("/")[-2:]
        [one] = [one for one in self.server.objects[plural] if one["metadata"]["name"] == name]
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        one["metadata"]["labels"].update(change["metadata"]["labels"])
        one["data"] = change["data"]
        self._answer(200, one)

    def _answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def _matches(one: dict[str, Any], selector: str) -> bool:
    """Whether an object's labels fit a selector of equalities and one `in`."""
    labels = one["metadata"]["labels"]
    equalities, _, choice = selector.partition(",status in (")
    wanted = dict(one.split("=") for one in equalities.split(","))
    return wanted.items() <= labels.items() and (
        not choice or labels["status"] in choice.rstrip(")").split(",")
    )
