"""Shells complete graphs, components, bundles and inputs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("imagegraph run su", ["sum"]),
        ("imagegraph show doub", ["double"]),
        ("imagegraph serve --component by", ["by-size"]),
        ("imagegraph serve --graph w", ["ways"]),
        ("imagegraph run double --bundle ", ["pocket", "sd15"]),
        ("imagegraph run paint --pro", ["--prompt"]),
        ("imagegraph run paint photo.png pic", ["pictures="]),
        ("imagegraph run paint ", []),  # so that the shell offers files
        ("imagegraph run nothing --see", []),
    ],
)
def test_a_shell_is_offered_what_fits(line: str, offered: list[str]) -> None:
    count = len(line.split(" ")) - 1
    variables = {"_IMAGEGRAPH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(count)}
    program = "import sys; from imagegraph.cli.app import main; sys.argv[0] = 'imagegraph'; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **variables, "PYTHONPATH": str(Path(tiny.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == offered
    assert done.stderr == ""
