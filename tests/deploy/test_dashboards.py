"""The dashboards: Prometheus takes every query, nothing names a model, panels stand beside each other."""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagegraph.deploy import render
from imagegraph.spec.catalogue import ROOT, Catalogue
from tests.deploy import chart
from tests.deploy.queries import queries

FILES = sorted((ROOT / render.DASHBOARDS).glob("*.json"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.param.read_text())
    return found


def test_prometheus_takes_every_query(board: dict[str, Any], tmp_path: Path) -> None:
    rules = [{"record": "a:query", "expr": query} for query in queries(board, "prod", "photos")]
    assert len(rules) > 5
    file = tmp_path / "rules.yaml"
    # Rules that are alike are only warned of.
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    done = subprocess.run(
        [chart.tool("promtool"), "check", "rules", "--lint=none", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_model_no_node_and_no_graph_is_named(board: dict[str, Any]) -> None:
    known = Catalogue.read()
    named = {word for query in queries(board, "", "") for word in re.findall(r'"([a-z0-9-]+)"', query)}
    assert not named & ({*known.entries, *known.graphs} - {"source"})


def test_panels_have_a_title_a_unit_and_a_place_of_their_own(board: dict[str, Any]) -> None:
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    taken: Counter[tuple[int, int]] = Counter()
    for panel in panels:
        assert panel["title"]
        assert panel["type"] == "heatmap" or panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        taken.update((place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"]))
    assert max(taken.values()) == 1


def test_the_chart_installs_every_dashboard_for_grafanas_sidecar() -> None:
    maps = chart.of_kind("ConfigMap", chart.objects("--set", "monitoring.dashboards=true"))
    found = {name: text for one in maps for name, text in one["data"].items() if name.endswith(".json")}
    assert {name: json.loads(text) for name, text in found.items()} == {
        path.name: json.loads(path.read_text()) for path in FILES
    }
    assert all(
        one["metadata"]["labels"]["grafana_dashboard"] == "1"
        for one in maps
        if "dashboard" in one["metadata"]["name"]
    )


def test_a_rate_spans_scrapes_and_a_legend_names_whose_a_series_is(board: dict[str, Any]) -> None:
    interval = yaml.safe_load((chart.CHART / "values.yaml").read_text())["monitoring"]["interval"]
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            assert target["interval"] == interval
            grouped = "model_name" in target["expr"] or " by (node)" in target["expr"]
            if panel["type"] == "timeseries" and grouped:
                assert "{{release}}" in target["legendFormat"], panel["title"]


def test_the_chart_says_how_often_it_has_pods_scraped() -> None:
    given = ("--set", "monitoring.dashboards=true,monitoring.interval=2m")
    for one in chart.of_kind("ConfigMap", chart.objects(*given)):
        for name, text in one["data"].items():
            if name.endswith(".json"):
                panels = json.loads(text)["panels"]
                intervals = {target["interval"] for panel in panels for target in panel.get("targets", [])}
                assert intervals == {"2m"}


def test_a_colour_stands_for_one_limit(board: dict[str, Any]) -> None:
    for panel in board["panels"]:
        if panel["type"] == "stat":
            values = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
            assert len(set(values)) == len(values), panel["title"]


def test_a_new_version_is_named_with_its_release(board: dict[str, Any]) -> None:
    [version] = board["annotations"]["list"]
    assert version["titleFormat"] == "{{release}} {{version}}"
    assert "by (namespace,release,version)" in version["expr"]


def test_the_canary_is_compared_with_the_default_of_one_release() -> None:
    [board] = (json.loads(file.read_text()) for file in FILES if file.stem == "canary")
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert not variables["release"]["multi"]
    assert not variables["release"]["includeAll"]
    assert variables["before"]["current"]["value"] == "default"
    assert 'predictor!~"default|"' in variables["after"]["query"]
