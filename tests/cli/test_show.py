import json
import re
from pathlib import Path

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
