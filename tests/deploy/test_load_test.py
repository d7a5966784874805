"""The load test in the chart: a Job whose arguments the load test takes, and that may reach what it asks."""

import inspect
from typing import Any

import pytest

from imagegraph.spec.catalogue import ROOT
from tests.deploy import chart

VALUES = ("--values", str(chart.CHART / "ci" / "loadtest-values.yaml"))
ON = {"loadTest": {"enabled": True}}


def pod_of(rendered: list[dict[str, Any]]) -> chart.Pod:
    [pod] = [one for one in chart.pods(rendered) if one.labels["app.kubernetes.io/component"] == "load-test"]
    return pod


def options(pod: chart.Pod) -> dict[str, list[str]]:
    [container] = pod.spec["containers"]
    found: dict[str, list[str]] = {}
    for one in container["args"][2:]:
        name, _, value = one.removeprefix("--").partition("=")
        found.setdefault(name, []).append(value)
    return found


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert not [one for one in chart.pods(chart.objects()) if "load" in one.name]


def test_it_loads_the_engine_looks_at_every_pod_and_knows_the_traffic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "load-tests")
    import load

    rendered = chart.objects(*VALUES)
    pod = pod_of(rendered)
    [container] = pod.spec["containers"]
    assert container["command"][1] == "/opt/project/load-tests/load.py"
    assert container["args"][:2] == ["run", "steady"]
    given = options(pod)
    taken = {name.strip("_").replace("_", "-") for name in inspect.signature(load.run).parameters}
    assert given.keys() <= taken
    assert given["host"] == [f"{chart.RELEASE}=http://{chart.RELEASE}-engine:8080"]
    assert given["traffic"] == ["default=80,canary=20"]
    assert given["times"] == ["4"]
    services = {one["metadata"]["name"] for one in chart.of_kind("Service", rendered)}
    watched = {one.split("://")[1].split(":")[0] for one in given["metrics"]}
    assert watched == services


def test_the_image_holds_it_and_all_it_needs() -> None:
    dockerfile = (ROOT / "components" / "Dockerfile").read_text()
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for path in ("load-tests/load.py", "load-tests/release"):
        assert f"COPY {path} " in dockerfile
        assert any(line.rstrip("/") == f"!{path}" for line in allowed)


def test_it_may_reach_engine_and_nodes_that_not_everybody_may_reach() -> None:
    rendered = chart.objects(*VALUES)
    policies = {one["metadata"]["name"]: one["spec"] for one in chart.of_kind("NetworkPolicy", rendered)}
    labels = pod_of(rendered).labels
    for name in ("engine", "nodes"):
        [rule] = policies[f"{chart.RELEASE}-{name}"]["ingress"]
        allowed = [
            peer["podSelector"].get("matchLabels", {}) for peer in rule["from"] if "podSelector" in peer
        ]
        assert any(one and one.items() <= labels.items() for one in allowed)


def test_it_is_tried_once_and_anew_with_every_revision() -> None:
    [job] = chart.of_kind("Job", chart.objects(given=ON))
    assert (job["spec"]["backoffLimit"], job["metadata"]["name"]) == (0, f"{chart.RELEASE}-load-1")
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {**ON, "platform": "seldon"},
            "loadTest: expected our own engine before the graph, got platform seldon",
        ),
        ({"loadTest": {**ON["loadTest"], "scenario": "kill"}}, "expected one that kills nothing"),
        ({"loadTest": {"scenario": "../x"}}, "'/loadTest/scenario'"),
        ({"loadTest": {"rate": 1}}, "additional properties 'rate' not allowed"),
        (
            {"loadTest": {**ON["loadTest"], "resources": {"requests": {"cpu": 2}, "limits": {"cpu": 1}}}},
            "loadTest.resources: requests.cpu is 2, more than limits.cpu, which is 1",
        ),
    ],
    ids=["no engine of ours", "kills", "no name", "unknown key", "more than allowed"],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], said: str) -> None:
    done = chart.template(given=values)
    assert done.returncode != 0
    assert said in done.stderr
