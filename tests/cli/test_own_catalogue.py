import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.commands import run

OWN = """
entries:
  halve: {component: own_numbers:Halve, summary: Halves a number, bundles: {pocket: {}}}
  more: {like: add, summary: Adds more, bundles: {pocket: {settings: {addend: 100}}}}
graphs:
  whole:
    summary: Halves what was doubled
    root: {name: halve, type: OUTPUT_TRANSFORMER, children: [{name: double, type: TRANSFORMER}]}
"""
HALVE = """
from typing import TypedDict
from imagegraph.component import Component

class Half(TypedDict):
    half: float

class Halve(Component):
    def predict(self, doubled: int) -> Half:
        return {"half": doubled / 2}
"""


@pytest.fixture
def own(tmp_path, monkeypatch) -> str:
    """A catalogue of somebody's own, beside the project's; its module is none of another test's."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "own_numbers", raising=False)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "own_numbers.py").write_text(HALVE)
    (folder / "own.yaml").write_text(OWN)
    return str(folder / "own.yaml")


def test_graphs_and_entries_of_ones_own_are_listed_shown_and_run(own):
    assert re.search(r"whole +pocket +Halves what was doubled", run("list", "--catalogue", own))
    assert re.search(r"half +number", run("show", "whole", "--catalogue", own))
    run("run", "whole", "number=21", "--device", "cpu", "--catalogue", own, "-o", "out")
    assert json.loads(Path("out/results.json").read_text())["answer"] == {"doubled": 42, "half": 21.0}
    run("run", "more", "number=1", "--device", "cpu", "--catalogue", own, "-o", "more")
    assert json.loads(Path("more/results.json").read_text())["answer"] == {"number": 101}


def test_a_catalogue_of_ones_own_gives_a_chart_of_ones_own(own):
    run("generate")
    assert "manifests/graphs/whole.yaml" in run("generate", "--catalogue", own, "-o", "mine")
    assert "name: halve" in Path("mine/manifests/graphs/whole.yaml").read_text()
    names = Path("mine/charts/imagegraph/catalogue.yaml").read_text()
    assert "more:" in names
    assert (Path("mine/charts/imagegraph/templates")).is_dir()
    run("generate", "--check")  # the project's files stay as they are
    run("generate", "--check", "--catalogue", own, "-o", "mine")
