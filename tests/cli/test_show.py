import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imagegraph.errors import InvalidInput
from imagegraph.spec import strict_yaml
from imagegraph.spec.seldon import SeldonDeployment
from tests import tiny
from tests.cli.commands import run


def test_list_names_graphs_and_components():
    text = run("list")
    assert re.search(r"sum +pocket +A number doubled, and the number itself", text)
    assert re.search(r"double +pocket sd15 +Doubles a number", text)


def test_show_draws_the_tree_and_tells_what_goes_in_and_out():
    text = run("show", "sum")
    assert "└── unite  COMBINER" in text
    assert re.search(r"number +whole number +required", text)
    assert re.search(r"doubled +whole number", text)
    assert text.endswith("imagegraph run sum NUMBER [NAME=VALUE]...\n")


def test_show_and_run_agree_when_the_catalogue_was_edited_after_generate():
    run("generate")
    edited = tiny.CATALOGUE.replace("left, entry: add", "left, entry: double")
    tiny.catalogue(Path(), edited)
    assert "left (double)" in run("show", "ways")
    run("run", "ways", "number=1", "--device", "cpu", "-o", "out")
    assert json.loads(Path("out/results.json").read_text())["answer"] == {"doubled": 2}


def test_show_says_all_of_it_to_programs():
    facts = json.loads(run("show", "add", "--json"))
    assert (facts["name"], facts["bundle"], facts["graph"]["name"]) == ("add", "pocket", "add")
    number = facts["inputs"]["number"]
    assert (number["takes"], number["required"], number["default"]) == ("whole number, 0 or more", False, 5)
    assert number["schema"]["minimum"] == 0
    assert facts["outputs"] == {
        "number": {"is": "whole number", "prior": False, "schema": {"type": "integer"}}
    }


def test_show_draws_a_flowchart_or_writes_the_manifest_alone():
    assert run("show", "sum", "--mermaid").startswith("flowchart LR\n    request --> source\n")
    manifest = run("show", "sum", "--manifest")
    assert strict_yaml.parse(manifest, SeldonDeployment, "sum").metadata.name == "sum"
    with pytest.raises(InvalidInput, match="show: expected one of --json, --mermaid and --manifest"):
        run("show", "sum", "--json", "--mermaid")


def test_help_explains_the_inputs_of_the_graph(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    text = " ".join(run("run", "add", "--help").replace("│", "").split())
    assert "Inputs of add (bundle pocket)" in text
    assert "--number NUMBER Any (whole number, 0 or more; 5 by default)" in text
    assert "Inputs of" not in run("run", "--help")


def test_lines_are_not_broken_where_nobody_sees_them():
    command = [sys.executable, "-m", "imagegraph.cli", "show", "paint"]
    variables = {**os.environ, "PYTHONPATH": str(Path(tiny.__file__).parents[1])}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("prompt")]
    assert line.split()[:2] == ["prompt", "text"]
