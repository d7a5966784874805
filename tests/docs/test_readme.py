"""The README is tested: its commands exist, its component works, its links lead somewhere."""

import asyncio
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from imagegraph.image import Image
from imagegraph.run.embedded import Embedded
from imagegraph.spec import strict_yaml
from imagegraph.spec.catalogue import ROOT, Catalogue
from imagegraph.spec.graph import Node
from pocket.examples.reimagine import commands

README = (ROOT / "README.md").read_text()
BLOCKS = {
    language: re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S) for language in ("sh", "python")
}
ENTRY = """
entries:
  classify:
    component: classify:Classify
    summary: Names what a picture shows
    bundles: {pocket: {weights: {model: {path: pocket/weights/judge}}}}
graphs: {}
"""


def test_its_component_names_what_the_shipped_scene_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = BLOCKS["python"]
    (tmp_path / "classify.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    catalogue = strict_yaml.parse(ENTRY, Catalogue, "catalogue.yaml")
    with Embedded(Node(name="classify"), "pocket", catalogue, "cpu") as embedded:
        scene = Image((ROOT / "pocket/examples/scene.png").read_bytes())
        assert asyncio.run(embedded.run({"image": scene})).values == {"label": "person"}


def test_its_make_targets_exist() -> None:
    targets = re.findall(r"^make ([a-z-]+)", "\n".join(BLOCKS["sh"]), re.M)
    assert {"run", "test"} <= set(targets)
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("line", [line for block in BLOCKS["sh"] for line in block.splitlines()])
def test_its_commands_are_understood(line: str) -> None:
    if not line.startswith("imagegraph "):
        pytest.skip("not a command of ours")
    arguments = shlex.split(line.partition("<")[0], comments=True)[1:]
    run = subprocess.run(
        [sys.executable, "-m", "imagegraph.cli", *arguments, "--help"],  # it knows all options of the line
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0


@pytest.mark.parametrize("arguments", [*commands(None, None), *commands(Path("out"), "sd15")], ids=" ".join)
def test_make_run_asks_for_what_there_is(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "imagegraph.cli", *arguments, "--help"], cwd=ROOT, check=True)
    assert (ROOT / arguments[2]).is_file()


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_its_links_lead_to_files(target: str) -> None:
    assert (ROOT / target).exists(), target
