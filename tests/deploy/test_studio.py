"""The studio in the chart: its settings are ones that it takes, and what it must have is asked for."""

import json
from typing import Any

import pytest

from studio.settings import Settings
from tests.deploy import chart

ON = {"enabled": True, "secret": "studio"}
SEVERAL = {"replicas": 3, "storage": "s3://bucket/pictures"}
PROXY = {"STUDIO_USER_HEADER": "X-User", "STUDIO_TRUSTED_PROXIES": '["10.0.0.0/8"]'}


def environment(rendered: list[dict[str, Any]]) -> dict[str, Any]:
    [pod] = [pod for pod in chart.pods(rendered) if pod.labels["app.kubernetes.io/component"] == "studio"]
    [container] = pod.spec["containers"]
    assert container["args"] == ["studio"]
    return {one["name"]: one.get("value") for one in container["env"]}


def test_it_asks_the_engine_of_the_release_and_the_graphs_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = environment(chart.objects(given={"studio": {**ON, "graphs": {"more": "http://more:8080"}}}))
    assert json.loads(found["STUDIO_GRAPHS"]) == {
        "more": "http://more:8080",
        chart.RELEASE: f"http://{chart.RELEASE}-engine:8080",
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value or json.dumps([{"name": "you", "token": "secret"}]))
    monkeypatch.delenv("STUDIO_DATABASE")
    known = Settings()
    known.check()
    assert not known.runs_graphs
    assert known.database_url == "sqlite:////data/studio.sqlite"


def test_its_store_stays_when_the_release_goes() -> None:
    claims = {
        one["metadata"]["name"]: one
        for one in chart.of_kind("PersistentVolumeClaim", chart.objects(given={"studio": ON}))
    }
    claim = claims[f"{chart.RELEASE}-studio"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_it_may_ask_an_engine_that_not_everybody_may_ask() -> None:
    rendered = chart.objects("--values", str(chart.CHART / "ci" / "studio-values.yaml"))
    policies = {one["metadata"]["name"]: one["spec"] for one in chart.of_kind("NetworkPolicy", rendered)}
    [pod] = [pod for pod in chart.pods(rendered) if pod.labels["app.kubernetes.io/component"] == "studio"]
    [rule] = policies[f"{chart.RELEASE}-engine"]["ingress"]
    allowed = [peer["podSelector"]["matchLabels"] for peer in rule["from"] if "podSelector" in peer]
    assert any(labels.items() <= pod.labels.items() for labels in allowed)
    assert policies[f"{chart.RELEASE}-studio"]["podSelector"]["matchLabels"].items() <= pod.labels.items()


@pytest.mark.parametrize(
    ("values", "is_optional"),
    [(ON, True), ({**ON, **SEVERAL}, False), ({**ON, **SEVERAL, "env": {"STUDIO_DATABASE": "x"}}, True)],
    ids=["one", "several", "several that are told by env"],
)
def test_of_several_pods_none_has_a_database_of_its_own(values: dict[str, Any], is_optional: bool) -> None:
    [pod] = [
        one
        for one in chart.pods(chart.objects(given={"studio": values}))
        if one.labels["app.kubernetes.io/component"] == "studio"
    ]
    variables = pod.spec["containers"][0]["env"]
    known = {
        one["name"]: one["valueFrom"]["secretKeyRef"]["optional"] for one in variables if "valueFrom" in one
    }
    assert known["STUDIO_TOKENS"]
    assert known.get("STUDIO_DATABASE", True) == is_optional


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"studio": {"enabled": True}}, "studio.secret: expected a Secret with tokens"),
        ({"studio": {**ON, "replicas": 2}}, "studio.storage: expected a URL"),
        (
            {"studio": {**ON, **SEVERAL, "secret": "", "env": PROXY}},
            "studio.secret: expected a Secret with a",
        ),
        ({"studio": ON, "platform": "kserve"}, "studio.graphs: expected the URL of a graph"),
        ({"studio": {**ON, "graphs": {"a": "ftp://a"}}}, "'/studio/graphs/a'"),
        ({"studio": {**ON, "storage": "here"}}, "'/studio/storage'"),
    ],
    ids=[
        "nobody may come in",
        "two over one volume",
        "no database",
        "no graph",
        "no address of a graph",
        "no URL",
    ],
)
def test_what_it_must_have_is_asked_for(values: dict[str, Any], said: str) -> None:
    done = chart.template(given=values)
    assert done.returncode != 0
    assert said in done.stderr
