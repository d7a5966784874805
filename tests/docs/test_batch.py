"""docs/batch.md is tested: its commands run, and its table of files names what is there."""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from imagegraph.cli.batch_words import pod_words
from imagegraph.spec.catalogue import ROOT
from tests.cli.commands import said
from tests.serve.conftest import Server, start

__all__ = ["start"]  # a fixture

PAGE = ROOT / "docs" / "batch.md"
TEXT = PAGE.read_text()
COMMANDS = [
    line.partition(" # ")[0]
    for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S)
    for line in block.splitlines()
]
HERE = [line for line in COMMANDS if "--url" not in line and "--on" not in line]
CLUSTER = next(line for line in COMMANDS if "--on" in line)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two photos and prompts."""
    (tmp_path / "photos").mkdir()
    for name in ("a_red_cone", "a_cube"):
        shutil.copy(ROOT / "pocket/examples/scene.png", tmp_path / "photos" / f"{name}.png")
    (tmp_path / "prompts.txt").write_text("a red cone\na cube\n")
    (tmp_path / "prompts.csv").write_text("prompt\na red cone\n")
    return tmp_path


def run(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a command in this process, which has imported everything."""
    monkeypatch.chdir(folder)
    done = said(*shlex.split(line)[1:])
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("line", HERE)
def test_its_commands_run(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(line, folder, monkeypatch)
    out = folder / line.split(" -o ")[1].split()[0]
    assert [*out.glob("rows/*/results.json")]
    if out.name == "all":
        seen = [path for path in out.iterdir() if not path.name.startswith(".")]
        written = {"rows" if path.is_dir() else path.name for path in seen}
        named = {path.split("/")[0] for path in re.findall(r"^out/all/(\S+)", TEXT, re.M)}
        assert named == written | {"failures.jsonl"}
    if out.name == "grid":
        assert {path.name for path in out.glob("grid*")} == {"grid-a_red_cone.png", "grid.csv", "grid.json"}


def test_a_server_is_asked_as_it_says(
    start: Callable[..., Server], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start("--graph", "interpret", IMAGEGRAPH_CATALOGUE="")
    (line,) = (line for line in COMMANDS if "--url" in line)
    run(line.replace("8080", str(server.http_port)).replace("reimagine", "interpret"), folder, monkeypatch)
    assert len([*(folder / "out/served/rows").iterdir()]) == 2


def test_its_options_exist() -> None:
    usage = said("batch", "reimagine", "--help").out
    for option in {
        one
        for line in [*COMMANDS, *re.findall(r"`(--[\w-]+)", TEXT)]
        for one in re.findall(r"--[\w-]+", line)
    }:
        assert option in usage, option
    assert pod_words(CLUSTER.split()[2:]) == ["reimagine", "photos/", "-o", "out", "--bundle", "sd15"]


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_its_links_lead_to_files(target: str) -> None:
    assert (PAGE.parent / target).exists(), target
