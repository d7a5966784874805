"""Every scenario of the chart: what is rendered is the catalogue's graph, safe, and fits together."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

import imagegraph
from imagegraph.deploy import render
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import NodeType
from tests.deploy import chart

Objects = list[dict[str, Any]]
Values = dict[str, Any]


def nodes(values: Values, catalogue: Catalogue) -> dict[tuple[str, str], Any]:
    """Every node that must have a pod, by predictor and name."""
    found = {}
    in_engine = values["platform"] == "plain" and values["engine"]["protocol"] == "grpc"
    for name, predictor in values["predictors"].items():
        root = catalogue.graph(predictor.get("graph", values["graph"])).root
        for node in root.walk():
            if not (in_engine and node.type in (NodeType.COMBINER, NodeType.ROUTER)):
                found[name, node.name] = node
    return found


def test_helm_finds_nothing_to_complain_about(scenario: Path) -> None:
    done = chart.helm("lint", "--strict", str(chart.CHART), "--values", str(scenario))
    assert done.returncode == 0, done.stdout


def test_every_node_is_a_pod_that_runs_its_entry(
    rendered: Objects, values: Values, catalogue: Catalogue
) -> None:
    pods = {pod.node: pod for pod in chart.pods(rendered) if pod.node}
    wanted = nodes(values, catalogue)
    assert pods.keys() == wanted.keys()
    for key, node in wanted.items():
        [container] = pods[key].spec["containers"]
        predictor = values["predictors"][key[0]]
        bundle = predictor.get("bundle", values["bundle"])
        assert container["args"][:3] == ["serve", f"--component={node.entry}", f"--bundle={bundle}"]
        image = {**values["image"], **predictor.get("image", {})}
        version = f"@{image['digest']}" if image["digest"] else f":{image['tag'] or imagegraph.__version__}"
        assert container["image"] == image["repository"] + version


def test_the_engine_loads_its_document_and_it_is_the_graph_of_the_catalogue(
    rendered: Objects, values: Values, catalogue: Catalogue
) -> None:
    deployment = chart.document(rendered)
    if deployment is None:
        assert values["platform"] == "kserve"
        assert len(values["predictors"]) == 1
        return
    assert deployment.spec.predictors[0].name == "default"
    for predictor in deployment.spec.predictors:
        given = values["predictors"][predictor.name]
        assert predictor.root == catalogue.graph(given.get("graph", values["graph"])).root
        assert predictor.bundle == given.get("bundle", values["bundle"])
        assert (predictor.traffic, predictor.shadow) == (given["traffic"], given.get("shadow", False))
    services = {one["metadata"]["name"] for one in chart.of_kind("Service", rendered)}
    services |= {
        f"{one['metadata']['name']}-predictor" for one in chart.of_kind("InferenceService", rendered)
    }
    hosts = {
        endpoint.service_host
        for predictor in deployment.spec.predictors
        for endpoint in predictor.endpoints.values()
    }
    assert hosts == services - {f"{chart.RELEASE}-engine", f"{chart.RELEASE}-studio"}


def test_pods_keep_to_pod_security_restricted(rendered: Objects) -> None:
    for pod in chart.pods(rendered):
        assert pod.spec["securityContext"]["runAsNonRoot"] is True
        assert pod.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod.spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys()
        for container in pod.containers:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
        kinds = {key for volume in pod.spec["volumes"] for key in volume if key != "name"}
        assert kinds <= {"emptyDir", "configMap", "persistentVolumeClaim"}


def test_pods_have_probes_requests_and_time_to_finish(rendered: Objects, values: Values) -> None:
    for pod in chart.pods(rendered):
        for container in pod.containers:
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
        if pod.kind == "Job" or pod.labels["app.kubernetes.io/component"] == "studio":
            continue
        [container] = pod.spec["containers"]
        name = pod.node[1] if pod.node else chart.RELEASE
        for probe in ("startupProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["path"] == f"/v2/models/{name}/ready"
        assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= values["probes"]["startupSeconds"]
        environment = {one["name"]: one.get("value") for one in container["env"]}
        pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        drain = int(environment["IMAGEGRAPH_SERVE_GRACE"])
        assert pod.spec["terminationGracePeriodSeconds"] > pause + drain
        assert pause < container["livenessProbe"]["terminationGracePeriodSeconds"] < drain


def test_names_are_unique_and_fit_and_selectors_find_their_pods(rendered: Objects) -> None:
    names = Counter((one["kind"], one["metadata"]["name"]) for one in rendered)
    assert set(names.values()) == {1}
    assert all(len(name) <= 63 for _, name in names)
    made = [pod.labels for pod in chart.pods(rendered) if pod.kind == "Deployment"]
    for one in [*chart.of_kind("Service", rendered), *chart.of_kind("Deployment", rendered)]:
        selector = one["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert sum(wanted.items() <= labels.items() for labels in made) == 1, one["metadata"]["name"]
    for one in chart.of_kind("PodDisruptionBudget", rendered):
        wanted = one["spec"]["selector"]["matchLabels"]
        labels = [pod.labels for pod in chart.pods(rendered)]
        assert sum(wanted.items() <= have.items() for have in labels) == 1, one["metadata"]["name"]


def test_weights_come_from_a_volume_that_is_there_and_read_only_in_nodes(
    rendered: Objects, values: Values
) -> None:
    claims = {one["metadata"]["name"] for one in chart.of_kind("PersistentVolumeClaim", rendered)}
    claims |= {values["cache"]["claim"]} - {""}
    used = set()
    for pod in chart.pods(rendered):
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        if "models" not in volumes:
            continue
        used.add(volumes["models"]["persistentVolumeClaim"]["claimName"])
        mounts = {
            container["name"]: mount["readOnly"]
            for container in pod.containers
            for mount in container["volumeMounts"]
            if mount["name"] == "models"
        }
        fills = pod.kind == "Job" or values["cache"]["fill"] == "init"
        assert mounts.pop("model-init") is not fills
        assert all(mounts.values())
    assert used == claims
    jobs = [pod for pod in chart.pods(rendered) if pod.labels["app.kubernetes.io/component"] == "models"]
    assert bool(jobs) == (values["cache"]["fill"] == "job")


def test_only_the_engine_and_prometheus_reach_nodes(rendered: Objects, values: Values) -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in chart.of_kind("NetworkPolicy", rendered)}
    spec = policies[f"{chart.RELEASE}-nodes"]
    for pod in chart.pods(rendered):
        selected = spec["podSelector"]["matchLabels"].items() <= pod.labels.items()
        assert selected == (pod.node is not None)
    [rule] = spec["ingress"]
    callers = [peer for peer in rule["from"] if peer not in values["networkPolicy"]["prometheus"]]
    assert callers
    assert all("podSelector" in peer and "namespaceSelector" not in peer for peer in callers)
    # The label by which Seldon's operator marks executors, and KServe's controller routers.
    label = {"seldon": "seldon-app", "kserve": "serving.kserve.io/inferencegraph"}.get(values["platform"])
    if label:
        names = [f"{chart.RELEASE}-{name}" for name in values["predictors"]]
        marked = {"matchExpressions": [{"key": label, "operator": "In", "values": names}]}
        assert {"podSelector": marked} in callers


def test_gpu_nodes_go_to_their_pool_with_a_gpu(catalogue: Catalogue) -> None:
    path = chart.CHART / "ci" / "gpu-pools-values.yaml"
    pools = yaml.safe_load(path.read_text())["pools"]
    for pod in chart.pods(chart.objects("--values", str(path))):
        if pod.node is None:
            continue
        name = pod.node[1]
        pool = "large" if name == "generate" else catalogue.entry(name).pool
        [container] = pod.spec["containers"]
        assert container["resources"]["limits"].get("nvidia.com/gpu") == (None if pool == "cpu" else "1")
        assert pod.spec.get("nodeSelector") == pools[pool].get("nodeSelector")
        assert pod.spec.get("tolerations") == pools[pool].get("tolerations")
        spread = pod.spec.get("topologySpreadConstraints", [])
        assert [one["topologyKey"] for one in spread] == (
            [] if pool == "large" else ["topology.kubernetes.io/zone"]
        )
        assert all(one["labelSelector"]["matchLabels"].items() <= pod.labels.items() for one in spread)


def test_without_a_gpu_pool_nodes_run_on_cpu_pods_and_ask_for_none() -> None:
    for pod in chart.pods(chart.objects()):
        assert not any("nvidia.com/gpu" in one["resources"]["limits"] for one in pod.containers)


def test_resources_are_those_of_the_catalogue_unless_given(catalogue: Catalogue) -> None:
    settings = ["--set", "bundle=sdxl", "--set", "nodes.edges.resources.requests.cpu=2"]
    found = {
        pod.node[1]: pod.spec["containers"][0] for pod in chart.pods(chart.objects(*settings)) if pod.node
    }
    wanted = catalogue.entry("generate").variant("sdxl").resources
    assert found["generate"]["resources"]["requests"] == {
        "cpu": f"{wanted.cpu:g}",
        "memory": f"{wanted.memory_gib * 1024:g}Mi",
    }
    assert found["edges"]["resources"] == {"requests": {"cpu": "2"}}


def test_a_new_document_starts_new_engines_and_nothing_else() -> None:
    def templates(*settings: str) -> dict[str, Any]:
        rendered = chart.objects("--set", "predictors.canary.bundle=sd15", *settings)
        return {one["metadata"]["name"]: one["spec"] for one in chart.of_kind("Deployment", rendered)}

    before = templates("--set", "predictors.default.traffic=90,predictors.canary.traffic=10")
    after = templates("--set", "predictors.default.traffic=50,predictors.canary.traffic=50")
    assert [name for name in before if before[name] != after[name]] == [f"{chart.RELEASE}-engine"]


def test_a_predictor_that_is_null_is_gone() -> None:
    rendered = chart.objects("--set", "predictors.canary=null")
    assert {pod.node[0] for pod in chart.pods(rendered) if pod.node} == {"default"}


def test_the_chart_has_the_version_of_the_package() -> None:
    about = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
    assert about["version"] == about["appVersion"] == imagegraph.__version__


def test_the_values_stay_short() -> None:
    assert len((chart.CHART / "values.yaml").read_text().splitlines()) <= 230


def test_on_seldon_executors_are_scraped_by_the_labels_that_its_operator_gives_them() -> None:
    split = "predictors.default.traffic=80,predictors.canary.traffic=20,predictors.canary.bundle=sd15"
    settings = f"platform=seldon,monitoring.podMonitor=true,{split}"
    nodes, executors = (one["spec"] for one in chart.of_kind("PodMonitor", chart.objects("--set", settings)))
    assert nodes["selector"]["matchLabels"]["app.kubernetes.io/instance"] == chart.RELEASE
    [endpoint] = executors["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/prometheus")
    [expression] = executors["selector"]["matchExpressions"]
    assert expression == {
        "key": "seldon-app",
        "operator": "In",
        "values": ["photos-default", "photos-canary"],
    }


@pytest.mark.parametrize("platform", render.PLATFORMS)
def test_quantities_are_texts_since_the_definitions_of_operators_take_no_fractions(platform: str) -> None:
    resources = {"requests": {"cpu": 0.5}, "limits": {"cpu": 1}}
    given = (
        "--set",
        f"platform={platform},graph=upscale",
        "--set-json",
        f"node.resources={json.dumps(resources)}",
    )
    [pod] = [pod for pod in chart.pods(chart.objects(*given)) if pod.node]
    assert pod.spec["containers"][0]["resources"] == {"requests": {"cpu": "0.5"}, "limits": {"cpu": "1"}}
