"""Seldon Core 1.17.1's operator before the chart's documents: nothing that they say is lost."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import yaml

from imagegraph.spec.catalogue import ROOT
from tests.cluster import crds
from tests.cluster.kubernetes import CommandFailed, Kubernetes, Namespace, eventually
from tests.deploy import chart
from tests.interop import seldon

pytestmark = pytest.mark.cluster

Objects = list[dict[str, Any]]

MANIFESTS = sorted(path.name for path in (ROOT / "manifests" / "seldon").iterdir())
# Values beside `platform=seldon`; the operator has work of its own with each.
SCENARIOS = {
    "canary": "predictors.default.traffic=90,predictors.canary.traffic=10,predictors.canary.image.tag=next",
    "shadow": "predictors.trial.shadow=true,predictors.trial.traffic=10,predictors.trial.image.tag=next",
    "hpa": "nodes.edges.autoscaling.minReplicas=2,nodes.edges.autoscaling.maxReplicas=4,"
    "nodes.edges.autoscaling.cpuPercent=70",
    "keda": "nodes.edges.keda.minReplicas=2,nodes.edges.keda.maxReplicas=4,"
    "nodes.edges.keda.triggers[0].type=prometheus,nodes.edges.keda.triggers[0].metadata.query=vector(1)",
    "gpu": "bundle=sd15,pools.gpu.gpu.count=1,pools.gpu.nodeSelector.pool=gpu,nodes.depth.replicas=3",
}
# What the operator adds to a node's container and pod.
ENVIRONMENT = {
    "PREDICTIVE_UNIT_SERVICE_PORT", "PREDICTIVE_UNIT_HTTP_SERVICE_PORT", "PREDICTIVE_UNIT_GRPC_SERVICE_PORT",
    "PREDICTIVE_UNIT_ID", "PREDICTIVE_UNIT_IMAGE", "PREDICTIVE_UNIT_METRICS_SERVICE_PORT",
    "PREDICTIVE_UNIT_METRICS_ENDPOINT", "PREDICTOR_ID", "PREDICTOR_LABELS", "SELDON_DEPLOYMENT_ID",
    "SELDON_EXECUTOR_ENABLED", "MLSERVER_HTTP_PORT", "MLSERVER_GRPC_PORT", "MLSERVER_MODEL_NAME",
    "MLSERVER_METRICS_PORT", "MLSERVER_METRICS_ENDPOINT",
}  # fmt: skip
ADDED = {"env": ENVIRONMENT, "ports": {"metrics"}, "volumeMounts": {"seldon-podinfo"}}


@pytest.fixture(scope="session")
def program() -> str:
    return seldon.binary("SELDON_OPERATOR")


@pytest.fixture(scope="module")
def operator(
    program: str, cluster: Kubernetes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[seldon.Operator]:
    """Runs the operator; no cluster is started where there is none."""
    with (
        crds.installed(cluster),
        cluster.namespace("test-seldon") as place,
        seldon.operator(program, place, tmp_path_factory.mktemp("operator")) as running,
    ):
        place.kubectl("label", "namespace", place.name, "pod-security.kubernetes.io/warn=restricted")
        yield running


@dataclass
class Made:
    """A document and the objects beside it, and what the operator has made of it."""

    document: dict[str, Any]
    beside: Objects
    found: Objects
    place: Namespace

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    def of_kind(self, kind: str) -> dict[str, dict[str, Any]]:
        return {one["metadata"]["name"]: one for one in chart.of_kind(kind, self.found)}

    def nodes(self) -> Iterator[Node]:
        deployments = self.of_kind("Deployment")
        for predictor in self.document["spec"]["predictors"]:
            for index, spec in enumerate(predictor["componentSpecs"]):
                node = spec["spec"]["containers"][0]["name"]
                full_name = f"{self.name}-{predictor['name']}-{index}-{node}"
                service = f"{self.name}-{predictor['name']}-{node}"
                yield Node(full_name, service, predictor, spec, deployments[full_name])


@dataclass
class Node:
    """A node's componentSpec, and the Deployment made of it."""

    name: str
    service: str
    predictor: dict[str, Any]
    spec: dict[str, Any]
    deployment: dict[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.deployment["spec"]["template"]["metadata"]["labels"])

    @property
    def pod(self) -> dict[str, Any]:
        return dict(self.deployment["spec"]["template"]["spec"])


def documents(name: str) -> Objects:
    """Returns the objects of manifests/seldon/NAME, or what the chart renders for a scenario."""
    if name in MANIFESTS:
        text = (ROOT / "manifests" / "seldon" / name / "objects.yaml").read_text()
    else:
        settings = ["--set", f"platform=seldon,graph=interpret,monitoring.podMonitor=true,{SCENARIOS[name]}"]
        done = chart.template(*settings, release=name)
        assert done.returncode == 0, done.stderr
        text = done.stdout
    return [one for one in yaml.safe_load_all(text) if one]


@pytest.fixture(scope="module", params=[*MANIFESTS, *SCENARIOS])
def made(operator: seldon.Operator, request: pytest.FixtureRequest) -> Iterator[Made]:
    place, objects = operator.place, documents(request.param)
    [document] = chart.of_kind("SeldonDeployment", objects)
    place.apply(*objects)
    wanted = sum(len(one["componentSpecs"]) + 1 for one in document["spec"]["predictors"])

    def all_made() -> Objects | None:
        kinds = "deployments,services,poddisruptionbudgets,horizontalpodautoscalers,scaledobjects"
        found = [one for one in place.get(kinds)["items"] if owner(one) == request.param]
        counts = Counter(one["kind"] for one in found)
        return found if counts["Deployment"] == counts["Service"] == wanted else None

    found = eventually("Deployments and Services of all nodes", all_made, 120)
    yield Made(document, [one for one in objects if one is not document], found, place)
    place.kubectl("delete", "--wait=false", "--filename=-", stdin=yaml.safe_dump_all(objects))


def owner(one: dict[str, Any]) -> str:
    return str(one["metadata"].get("ownerReferences", [{"name": ""}])[0]["name"])


def test_seldons_own_validation_has_no_objection(operator: seldon.Operator) -> None:
    for name in (*MANIFESTS, *SCENARIOS):
        [document] = chart.of_kind("SeldonDeployment", documents(name))
        assert review(operator, document) == (True, ""), name


def test_seldons_own_validation_refuses_traffic_that_does_not_add_up(operator: seldon.Operator) -> None:
    [document] = chart.of_kind("SeldonDeployment", documents("canary"))
    document["spec"]["predictors"][0]["traffic"] = 70
    allowed, reason = review(operator, document)
    assert not allowed
    assert "Traffic must sum to 100" in reason


def review(operator: seldon.Operator, document: dict[str, Any]) -> tuple[bool, str]:
    """Asks the operator's webhook as an API server does."""
    kind = {"group": "machinelearning.seldon.io", "version": "v1", "kind": "SeldonDeployment"}
    about = {"uid": "1", "operation": "CREATE", "namespace": operator.place.name, "kind": kind}
    question = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    body = {**question, "request": {**about, "object": document}}
    answer = httpx.post(operator.webhook, json=body, verify=False, timeout=30).json()["response"]
    return answer["allowed"], answer.get("status", {}).get("message", "") or answer["status"].get(
        "reason", ""
    )


def test_every_node_gets_the_pod_that_the_document_says_and_nothing_is_lost(made: Made) -> None:
    for node in made.nodes():
        template = {"metadata": node.spec["metadata"], "spec": node.spec["spec"]}
        selector = {"matchLabels": node.spec["metadata"]["labels"]}
        wanted = as_kept(made.place, {"selector": selector, "template": template})["template"]
        assert wanted["metadata"]["labels"].items() <= node.labels.items()
        assert without_added(node.pod) == wanted["spec"]
        [container] = node.pod["containers"]
        assert {one["name"] for one in container["env"]} >= ENVIRONMENT


def as_kept(place: Namespace, spec: dict[str, Any]) -> dict[str, Any]:
    """Returns the spec of a Deployment with the defaults and the spelling that a server gives it.

    Raises:
        CommandFailed: the server warns, as of what Pod Security's level restricted forbids.
    """
    document = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "kept"}, "spec": spec}
    arguments = ["create", "--dry-run=server", "--warnings-as-errors", "--output=json", "--filename=-"]
    kept: dict[str, Any] = json.loads(place.kubectl(*arguments, stdin=json.dumps(document)))["spec"]
    return kept


def without_added(pod: dict[str, Any]) -> dict[str, Any]:
    """Returns a pod without what the operator adds to every one."""
    [container] = pod["containers"]
    kept = {key: [one for one in container[key] if one["name"] not in ADDED[key]] for key in ADDED}
    volumes = [one for one in pod["volumes"] if one["name"] not in ADDED["volumeMounts"]]
    return {**pod, "volumes": volumes, "containers": [{**container, **kept}]}


def test_deployments_have_replicas_patience_and_a_budget(made: Made) -> None:
    budgets = made.of_kind("PodDisruptionBudget")
    for node in made.nodes():
        spec = node.deployment["spec"]
        assert spec["replicas"] == node.spec["replicas"]
        assert spec["progressDeadlineSeconds"] == node.predictor["progressDeadlineSeconds"]
        budget = budgets[node.name]["spec"]
        assert budget["maxUnavailable"] == node.spec["pdbSpec"]["maxUnavailable"]
        assert budget["selector"]["matchLabels"].items() <= node.labels.items()


def test_services_lead_to_the_nodes_at_our_ports(made: Made) -> None:
    services = made.of_kind("Service")
    for node in made.nodes():
        spec = services[node.service]["spec"]
        assert {one["name"]: (one["port"], one["targetPort"]) for one in spec["ports"]} == {
            "http": (8080, 8080),
            "grpc": (8081, 8081),
        }
        assert spec["selector"].items() <= node.labels.items()


def test_executors_get_the_graph_with_the_services_of_its_nodes(made: Made) -> None:
    for predictor in made.document["spec"]["predictors"]:
        name = f"{made.name}-{predictor['name']}"
        spec = made.of_kind("Deployment")[f"{name}-svc-orch"]["spec"]
        orchestrator = predictor["svcOrchSpec"]
        assert spec["replicas"] == orchestrator["replicas"]
        template = spec["template"]
        # An executor in a pod of its own knows no timeout: the nodes have to keep theirs.
        assert "seldon.io/rest-timeout" not in template["metadata"]["annotations"]
        [container] = template["spec"]["containers"]
        assert container["image"] == seldon.EXECUTOR_IMAGE
        assert container["resources"] == orchestrator["resources"]
        assert {"--protocol", "v2"} <= set(container["args"])
        [graph] = [one["value"] for one in container["env"] if one["name"] == "ENGINE_PREDICTOR"]
        assert tree(json.loads(base64.b64decode(graph))["graph"], name, made.place) == predictor["graph"]
        with pytest.raises(CommandFailed, match="violate PodSecurity"):
            as_kept(made.place, {"selector": spec["selector"], "template": template})
        front = made.of_kind("Service")[name]["spec"]
        assert [one["port"] for one in front["ports"]] == [8000, 5001]
        assert front["selector"].items() <= template["metadata"]["labels"].items()


def tree(unit: dict[str, Any], name: str, place: Namespace) -> dict[str, Any]:
    """Returns a node with its children as the document has them, once its address is checked."""
    endpoint = unit["endpoint"]
    assert endpoint["service_host"].startswith(f"{name}-{unit['name']}.{place.name}.svc")
    assert (endpoint["httpPort"], endpoint["service_port"], endpoint["grpcPort"]) == (8080, 8080, 8081)
    found = {"name": unit["name"], "type": unit["type"]}
    if "children" in unit:
        found["children"] = [tree(child, name, place) for child in unit["children"]]
    return found


def test_the_charts_policy_lets_executors_reach_nodes_and_nodes_nobody(made: Made) -> None:
    [policy] = [one["spec"] for one in made.beside if one["kind"] == "NetworkPolicy"]
    [rule] = policy["ingress"]
    [allowed] = [peer["podSelector"] for peer in rule["from"] if "podSelector" in peer]
    for name, deployment in made.of_kind("Deployment").items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        is_executor = name.endswith("-svc-orch")
        assert selects(allowed, labels) == is_executor
        assert selects(policy["podSelector"], labels) != is_executor


def test_pod_monitors_select_nodes_and_executors_at_their_own_paths(made: Made) -> None:
    monitors = [one["spec"] for one in made.beside if one["kind"] == "PodMonitor"]
    assert bool(monitors) == (made.name in SCENARIOS)
    for name, deployment in made.of_kind("Deployment").items():
        template = deployment["spec"]["template"]
        paths = [
            (endpoint["path"], port["containerPort"])
            for monitor in monitors
            if selects(monitor["selector"], template["metadata"]["labels"])
            for endpoint in monitor["podMetricsEndpoints"]
            for container in template["spec"]["containers"]
            for port in container["ports"]
            if port["name"] == endpoint["port"]
        ]
        wanted = [("/prometheus", 8000)] if name.endswith("-svc-orch") else [("/metrics", 8080)]
        assert paths == (wanted if monitors else [])


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


def test_nodes_scale_as_the_document_says(made: Made) -> None:
    autoscalers, scaled = made.of_kind("HorizontalPodAutoscaler"), made.of_kind("ScaledObject")
    wanted = [node.name for node in made.nodes() if "hpaSpec" in node.spec]
    assert sorted(autoscalers) == sorted(wanted)
    assert sorted(scaled) == sorted(node.name for node in made.nodes() if "kedaSpec" in node.spec)
    for node in made.nodes():
        if "hpaSpec" in node.spec:
            spec = autoscalers[node.name]["spec"]
            assert spec["scaleTargetRef"]["name"] == node.name
            assert {**node.spec["hpaSpec"], "metrics": node.spec["hpaSpec"]["metricsv2"]}.items() >= {
                key: value for key, value in spec.items() if key != "scaleTargetRef"
            }.items()
        if "kedaSpec" in node.spec:
            spec = scaled[node.name]["spec"]
            assert spec["scaleTargetRef"]["name"] == node.name
            assert spec.items() >= node.spec["kedaSpec"].items()
