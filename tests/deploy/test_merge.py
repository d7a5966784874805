"""Values over values: what is given wins, zero, false and empty too, and numbers stay what they are."""

from typing import Any

import pytest

from tests.deploy import chart

EDGES = {"graph": "edges"}


def container(given: dict[str, Any], name: str = "edges") -> dict[str, Any]:
    """The container of that name; the graph is `edges`."""
    found = [one for pod in chart.pods(chart.objects(given=EDGES | given)) for one in pod.containers]
    [one] = [one for one in found if one["name"] == name]
    return one


def environment(given: dict[str, Any], name: str = "edges") -> dict[str, str]:
    variables = container(given, name)["env"]
    assert len({one["name"] for one in variables}) == len(variables)
    return {one["name"]: one["value"] for one in variables if "value" in one}


def test_a_node_says_zero_where_all_nodes_say_one() -> None:
    given = {"nodes": {"edges": {"rollout": {"maxSurge": 0, "maxUnavailable": 1}}}}
    [node] = [
        one
        for one in chart.of_kind("Deployment", chart.objects(given=EDGES | given))
        if one["metadata"]["name"].endswith("edges")
    ]
    assert node["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (False, "false"), ("", ""), (True, "true"), (2500000, "2500000"), (0.5, "0.5"),
        (9007199254740991, "9007199254740991"), (-1, "-1"), ("2.5e+06", "2.5e+06"),
    ],
)  # fmt: skip
def test_environment_keeps_what_was_given(value: Any, text: str) -> None:
    own = {"node": {"env": {"A": "before"}}, "nodes": {"edges": {"env": {"A": value}}}}
    assert environment(own)["A"] == text
    assert environment({"engine": {"env": {"A": value}}}, "engine")["A"] == text
    init = {"graph": "upscale", "modelInit": {"env": {"A": value}}}
    assert environment(init, "model-init")["A"] == text


def test_a_number_on_the_command_line_is_what_it_is_in_a_file() -> None:
    rendered = chart.objects("--set", "graph=edges,node.env.A=2500000,engine.replicas=3")
    [node] = [pod.spec["containers"][0] for pod in chart.pods(rendered) if pod.node]
    assert {"name": "A", "value": "2500000"} in node["env"]


def test_null_takes_a_variable_away_from_one_node() -> None:
    given = {"node": {"env": {"A": "1", "B": "2"}}, "nodes": {"edges": {"env": {"A": None}}}}
    found = environment(given)
    assert "A" not in found
    assert found["B"] == "2"


def test_a_variable_of_the_charts_own_may_be_given() -> None:
    given = {"engine": {"env": {"IMAGEGRAPH_SERVE_TIMEOUT": 5}}, "node": {"env": {"OMP_NUM_THREADS": 4}}}
    assert environment(given, "engine")["IMAGEGRAPH_SERVE_TIMEOUT"] == "5"
    assert environment(given)["OMP_NUM_THREADS"] == "4"


def test_large_numbers_keep_their_digits() -> None:
    given = {
        "engine": {"replicas": 2500000, "resources": {"limits": {"memory": 2147483648}}},
        "probes": {"startupSeconds": 604800},
        "disruption": {"maxUnavailable": 2500000},
    }
    rendered = chart.objects(given=EDGES | given)
    [engine] = [
        one for one in chart.of_kind("Deployment", rendered) if one["metadata"]["name"].endswith("engine")
    ]
    assert engine["spec"]["replicas"] == 2500000
    assert engine["spec"]["progressDeadlineSeconds"] == 608400
    [made] = engine["spec"]["template"]["spec"]["containers"]
    assert made["resources"]["limits"]["memory"] == "2147483648"
    assert {one["spec"]["maxUnavailable"] for one in chart.of_kind("PodDisruptionBudget", rendered)} == {
        2500000
    }


def test_keda_may_scale_to_zero() -> None:
    keda = {"minReplicas": 0, "maxReplicas": 1, "triggers": [{"type": "cpu", "metadata": {"value": "60"}}]}
    [scaled] = chart.of_kind(
        "ScaledObject", chart.objects(given=EDGES | {"nodes": {"edges": {"keda": keda}}})
    )
    assert scaled["spec"]["minReplicaCount"] == 0
