"""docs/frameworks.md is tested: its commands run, and its table has every format that there is."""

import re
import shlex
from pathlib import Path

import pytest

from imagegraph.export import formats
from imagegraph.spec.catalogue import ROOT
from tests.cli.commands import run

TEXT = (ROOT / "docs" / "frameworks.md").read_text()
COMMANDS = [
    line.partition(" # ")[0]
    for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S)
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_run(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMAGEGRAPH_CATALOGUE", raising=False)
    words = shlex.split(line)[1:]
    run(*words)
    assert (tmp_path / words[-1] / "start.sh").is_file()


def test_it_has_every_format() -> None:
    assert set(re.findall(r"^\| `([\w-]+)` \|", TEXT, re.M)) >= set(formats.names())
