"""docs/analyze.md is tested: its commands run, and its table names all that `cut-out` answers."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imagegraph.spec import graph
from imagegraph.spec.catalogue import ROOT, Catalogue

TEXT = (ROOT / "docs" / "analyze.md").read_text()
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S) for line in block.splitlines()
]


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_write_what_they_say(line: str, tmp_path: Path) -> None:
    (tmp_path / "pocket/examples").mkdir(parents=True)
    shutil.copy(ROOT / "pocket/examples/scene.png", tmp_path / "pocket/examples")
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": programs, "PYTHONPATH": str(ROOT)}
    subprocess.run(line, shell=True, cwd=tmp_path, env=environment, check=True, timeout=300)
    folder = tmp_path / line.split(" -o ")[1]
    answer = json.loads((folder / "results.json").read_text())["answer"]
    if "--texts" in line:
        assert all(sum(row) == pytest.approx(1, abs=1e-4) for row in answer["confidence_scores"])
        assert len(answer["concepts"]) == len(answer["confidence_scores"])
    if " concepts " not in line:
        assert list(folder.glob("mask-*.png"))


def test_its_table_names_all_answers() -> None:
    catalogue = Catalogue.read()
    root = catalogue.graph("cut-out").root
    answers = graph.outputs(root, catalogue.signatures(root, "pocket"))
    rows = [line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == answers
