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
    assert complete(line) == offered


@pytest.mark.parametrize(
    ("word", "offered"),
    [
        ("rank_by =", ["prompt", "image", "fidelity"]),  # as bash takes it apart
        ("rank_by = f", ["fidelity"]),
        ("rank_by=f", ["rank_by=fidelity"]),
        ("priors=norm", ["priors=normals"]),
        ("seed =", []),
        ("no_such =", []),
    ],
)
def test_behind_the_name_of_a_choice_its_values_are_offered(
    word: str, offered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMAGEGRAPH_CATALOGUE")
    assert complete(f"imagegraph run reimagine photo.png {word}") == offered


def complete(line: str) -> list[str]:
    """Returns what bash is offered for the last word of a line."""
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
    assert done.stderr == ""
    return done.stdout.split()
