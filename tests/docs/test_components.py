"""docs/components.md is tested: its files are written, its commands run, its tables name every key."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pydantic
import pytest

from imagegraph.component import Component
from imagegraph.spec.catalogue import ROOT, Graph
from imagegraph.spec.entry import Entry, Resources, Variant
from imagegraph.spec.graph import Node, NodeType
from imagegraph.spec.weights import Source

TEXT = (ROOT / "docs" / "components.md").read_text()
FILES = re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", TEXT, re.M | re.S)
SHELL = re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S)
[SERVING] = [block for block in SHELL if "serve" in block]
COMMANDS = [line for block in SHELL if block is not SERVING for line in block.splitlines()]


SAID = {
    "list": r"palette +pocket +The colours of a picture",
    "show palette": r"count +whole number, 2 to 16",
    "run palette": r"colours: #\w{6}, #\w{6}, #\w{6}\n",
    "pytest": r"\b[1-9]\d* passed",
    "run collage": r"collage\.png",
    "show reimagine": r"brightness  MODEL",
    "generate": r"manifests/graphs/collage\.yaml",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files of the page, and a photo."""
    folder = tmp_path_factory.mktemp("own")
    for name, content in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    shutil.copy(ROOT / "docs/photo.jpg", folder)  # too large for a command line
    return folder


def environment(**more: str) -> dict[str, str]:
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": programs, "PYTHONPATH": str(ROOT), **more}


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_do_what_they_say(line: str, folder: Path) -> None:
    if " pytest " in line:  # in a checkout
        line = line.replace("mine/", f"{folder}/mine/")
        folder = ROOT
    done = subprocess.run(
        line, shell=True, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for command, said in SAID.items():
        assert command not in line or re.search(said, done.stdout)


def test_it_is_served_as_it_says(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    script = SERVING.replace("8080", str(port))
    done = subprocess.Popen(
        ["bash", "-ec", script + "\nkill %1; wait"],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        answer, _ = done.communicate(timeout=200)
    finally:
        if done.poll() is None:
            os.killpg(done.pid, signal.SIGKILL)
    assert re.search(r'"name":"colours".*"#[0-9a-f]{6}"', answer)


def test_its_tables_name_every_key_and_type() -> None:
    models: list[type[pydantic.BaseModel]] = [Entry, Variant, Source, Resources, Graph, Node]
    keys = {name for model in models for name in model.model_fields}
    attributes = {"roles", "opens", "adapts", "pure", "inline", "max_cost"}
    assert attributes == {name for name in vars(Component) if not name.startswith("_")} - {"check", "load"}
    told = set(re.findall(r"`([^`\s]+)`", TEXT))
    assert keys | attributes | set(NodeType) | {"like", "priors", "graphs", "entries"} <= told


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)", TEXT))
def test_its_links_lead_to_files(target: str) -> None:
    assert (ROOT / "docs" / target).exists(), target
