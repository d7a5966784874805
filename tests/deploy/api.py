"""The part of Kubernetes' API that a canary's commands ask, over what a test puts there."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Objects = list[dict[str, Any]]
NAMESPACE = "prod"


class Api(ThreadingHTTPServer):
    """Serves one namespace.

    Attributes:
        objects: what there is, by plural; of a kind that is missing there is no definition.
        engines: what `objects` is overlaid with, one after the other at each look at Deployments.
        deleted: plural and name of what was deleted.
        forbidden: plurals of what nobody may delete.
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
        _, _, plural = path.path.partition(f"/namespaces/{NAMESPACE}/")
        selector = parse_qs(path.query).get("labelSelector", [""])[0]
        if plural == "deployments" and "component=engine" in selector and len(self.server.engines) > 1:
            self.server.engines.pop(0)
        overlay = self.server.engines[0] if self.server.engines else {}
        if plural not in self.server.objects:
            return self._answer(404, {"kind": "Status", "status": "Failure"})
        found = [*self.server.objects[plural], *overlay.get(plural, [])]
        self._answer(200, {"items": [one for one in found if _matches(one, selector)]})

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
