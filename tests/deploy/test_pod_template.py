"""What a cluster asks of pods besides: by `podTemplate`, for all, for nodes, for one, for the engine."""

from typing import Any

import pytest

from tests.deploy import chart, rules

PLATFORMS = pytest.mark.parametrize("platform", ["plain", "seldon", "kserve"])
SOURCES = [{"secretRef": {"name": "keys"}}, {"configMapRef": {"name": "settings", "optional": True}}]
EVERYTHING: dict[str, Any] = {
    "labels": {"team": "vision"},
    "annotations": {"sidecar.istio.io/inject": "false"},
    "spec": {
        "runtimeClassName": "nvidia",
        "priorityClassName": "high",
        "volumes": [
            {"name": "authorities", "configMap": {"name": "authorities"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "10Gi"}},
        ],
    },
    "container": {
        "envFrom": SOURCES,
        "env": [{"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "volumeMounts": [{"name": "authorities", "mountPath": "/etc/ssl/authorities", "readOnly": True}],
    },
}


def pods(given: dict[str, Any]) -> list[chart.Pod]:
    rendered = chart.objects(given={"graph": "upscale", **given})
    rules.check(rendered)
    return list(chart.pods(rendered))


@PLATFORMS
def test_all_pods_get_what_is_said_of_pods(platform: str) -> None:
    found = pods({"platform": platform, "podTemplate": EVERYTHING})
    assert found
    for pod in found:
        assert pod.labels["team"] == "vision"
        assert pod.annotations["sidecar.istio.io/inject"] == "false"
        assert pod.spec["runtimeClassName"] == "nvidia"
        assert pod.spec["priorityClassName"] == "high"
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        assert volumes["authorities"] == EVERYTHING["spec"]["volumes"][0]
        assert volumes["tmp"] == EVERYTHING["spec"]["volumes"][1]
        [container] = pod.spec["containers"]
        assert container["envFrom"] == SOURCES
        assert EVERYTHING["container"]["env"][0] in container["env"]
        assert {"name": "IMAGEGRAPH_SERVE_DRAIN_DELAY", "value": "2"} in container["env"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts["/etc/ssl/authorities"] == "authorities"
        assert mounts["/tmp"] == "tmp"


def test_seldons_document_with_all_of_it_is_still_ours_to_read() -> None:
    rendered = chart.objects(given={"graph": "upscale", "platform": "seldon", "podTemplate": EVERYTHING})
    assert chart.document(rendered) is not None


def test_a_job_gets_what_is_said_of_pods_but_not_of_their_containers() -> None:
    init = {"volumeMounts": [{"name": "authorities", "mountPath": "/etc/ssl"}], "envFrom": SOURCES}
    found = pods({"cache": {"fill": "job"}, "podTemplate": EVERYTHING, "modelInit": {"container": init}})
    [job] = [pod for pod in found if pod.kind == "Job"]
    assert job.labels["team"] == "vision"
    assert job.spec["runtimeClassName"] == "nvidia"
    waiting = [pod.spec["initContainers"][0] for pod in found if pod.node]
    for container in [job.spec["containers"][0], *waiting]:
        assert container["envFrom"] == SOURCES
        assert {"name": "authorities", "mountPath": "/etc/ssl"} in container["volumeMounts"]
        assert "env" not in container


def test_another_pod_of_a_job_is_another_job() -> None:
    def names(given: dict[str, Any]) -> set[str]:
        return {pod.name for pod in pods({"cache": {"fill": "job"}, **given}) if pod.kind == "Job"}

    before = names({})
    assert before == names({"engine": {"replicas": 3}})
    assert not before & names({"podTemplate": {"spec": {"priorityClassName": "high"}}})
    assert not before & names({"image": {"pullSecrets": ["registry"]}})


def test_what_is_said_of_fewer_pods_wins_and_null_takes_away() -> None:
    def said(value: str | None) -> dict[str, Any]:
        return {"annotations": {"by": str(value)}, "spec": {"priorityClassName": value}}

    found = pods(
        {
            "graph": "draw",
            "podTemplate": said("all"),
            "node": {"podTemplate": said("nodes")},
            "nodes": {"generate": {"podTemplate": said("one")}, "rank": {"podTemplate": said(None)}},
            "engine": {"podTemplate": {"spec": {"securityContext": {"runAsUser": None, "fsGroup": 2000}}}},
        }
    )
    by_name = {pod.node[1] if pod.node else "engine": pod for pod in found}
    assert {name: pod.annotations.get("by") for name, pod in by_name.items()} == {
        "engine": "all", "upscale": "nodes", "generate": "one", "rank": "None",
    }  # fmt: skip
    assert by_name["generate"].spec["priorityClassName"] == "one"
    assert "priorityClassName" not in by_name["rank"].spec
    assert "runAsUser" not in by_name["engine"].spec["securityContext"]
    assert by_name["engine"].spec["securityContext"]["fsGroup"] == 2000
    assert by_name["engine"].spec["securityContext"]["runAsNonRoot"] is True
    assert by_name["rank"].spec["securityContext"]["runAsUser"] == 1000


def test_a_spread_of_the_same_key_takes_the_place_of_the_charts() -> None:
    spread = {
        "topologyKey": "kubernetes.io/hostname",
        "maxSkew": 2,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"a": "b"}},
    }
    zone = {**spread, "topologyKey": "topology.kubernetes.io/zone"}
    found = pods({"engine": {"podTemplate": {"spec": {"topologySpreadConstraints": [zone, spread]}}}})
    [engine] = [pod for pod in found if pod.node is None]
    assert engine.spec["topologySpreadConstraints"] == [spread, zone]


@PLATFORMS
def test_common_labels_are_on_every_object_and_pod_and_in_no_selector(platform: str) -> None:
    given = {
        "graph": "upscale", "platform": platform,
        "commonLabels": {"team": "vision", "app.kubernetes.io/part-of": "a"},
        "cache": {"fill": "job"}, "monitoring": {"podMonitor": True},
        "ingress": {"enabled": True, "host": "a.example"},
    }  # fmt: skip
    rendered = chart.objects(given=given)
    for one in rendered:
        assert one["metadata"]["labels"]["team"] == "vision", one["kind"]
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "a"
        assert "vision" not in str(one.get("spec", {}).get("selector"))
    assert all(pod.labels["team"] == "vision" for pod in chart.pods(rendered))


@pytest.mark.parametrize(
    ("given", "name", "made"),
    [
        ({}, "photos", True),
        ({"name": "drawing", "annotations": {"iam.gke.io/gcp-service-account": "a@b"}}, "drawing", True),
        ({"create": False, "name": "there"}, "there", False),
        ({"create": False}, "default", False),
    ],
)
def test_pods_run_as_the_service_account(given: dict[str, Any], name: str, made: bool) -> None:
    rendered = chart.objects(given={"graph": "upscale", "cache": {"fill": "job"}, "serviceAccount": given})
    assert {pod.spec["serviceAccountName"] for pod in chart.pods(rendered)} == {name}
    accounts = chart.of_kind("ServiceAccount", rendered)
    assert [one["metadata"]["name"] for one in accounts] == ([name] if made else [])
    for one in accounts:
        assert one["metadata"].get("annotations") == given.get("annotations")


def test_the_engines_service_has_the_type_and_annotations_that_were_given() -> None:
    annotations = {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"}
    rendered = chart.objects(given={"service": {"type": "LoadBalancer", "annotations": annotations}})
    services = {one["metadata"]["name"]: one for one in chart.of_kind("Service", rendered)}
    engine = services.pop("photos-engine")
    assert engine["spec"]["type"] == "LoadBalancer"
    assert engine["metadata"]["annotations"] == annotations
    assert all("type" not in one["spec"] for one in services.values())
