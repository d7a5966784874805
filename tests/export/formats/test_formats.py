"""What holds for the folder of every format, also of one that is added."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import environments
import pytest

from imagegraph.errors import InvalidInput
from imagegraph.export import folder, formats
from imagegraph.export.exported import Exported
from imagegraph.spec.catalogue import Catalogue

CATALOGUE = Catalogue.read()
NAMED = re.compile(r"https?://(?!localhost|127\.0\.0\.1)\S+")


@pytest.fixture(scope="module", params=formats.names())
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a component in a format."""
    place = tmp_path_factory.mktemp(request.param)
    for component in ("depth", "restyle"):  # some formats take networks alone
        exported = Exported.of(component, "pocket", "auto", CATALOGUE)
        try:
            recipe = formats.find(request.param).recipe(exported)
        except InvalidInput:
            continue
        folder.write(place, request.param, exported, recipe)
        return place
    raise AssertionError("neither depth nor restyle can be exported")


def test_its_readme_says_how_it_is_installed_started_and_asked(written: Path) -> None:
    text = (written / "README.md").read_text()
    assert all(f"## {title}\n" in text for title in ("Install", "Start", "Ask"))
    assert "curl " in text
    assert ("@request.json" in text) == (written / "request.json").is_file()
    assert ("requirements.txt" in text) == (written / "requirements.txt").is_file()
    assert "$component" not in text
    assert not NAMED.search(text)


def test_its_requirements_are_pinned_by_name_alone(written: Path) -> None:
    if (written / "requirements.txt").is_file():
        for line in (written / "requirements.txt").read_text().splitlines():
            assert re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?(==[\w.]+|[<>]=?[\w.]+)", line), line


def test_its_shell_and_its_python_can_be_read(written: Path) -> None:
    for path in written.rglob("*.sh"):
        subprocess.run(["/bin/sh", "-n", path], check=True)
    for path in written.rglob("*.py"):
        ast.parse(path.read_text())


def test_its_python_is_of_our_own_style(written: Path) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    assert ruff
    files = [str(path) for path in written.rglob("*.py")]
    if files:
        style = ["--line-length", "110", "--target-version", "py311"]
        subprocess.run([ruff, "format", "--check", *style, "--isolated", *files], check=True)
        rules = ["--select", "E,F,B,UP,SIM,N", "--isolated"]
        subprocess.run([ruff, "check", *style, *rules, *files], check=True)


def test_what_it_has_installed_is_what_the_tests_run(written: Path) -> None:
    name = written.name.rstrip("0123456789")
    if (written / "requirements.txt").is_file():
        tested = environments.frameworks()[name].read_text().splitlines()
        for line in (written / "requirements.txt").read_text().splitlines():
            requirement, pinned, version = line.partition("==")
            assert not pinned or f"{requirement.partition('[')[0]}=={version}" in tested, line


def test_its_readme_says_how_a_picture_is_saved(written: Path) -> None:
    if written.name.startswith(("vertex", "triton-onnx")):
        pytest.skip("it answers no V2, or numbers alone")
    [paths] = re.findall(
        r"jq -r '(\S+)\[\] [|] select\(.name == \"depth\"\)", (written / "README.md").read_text()
    )
    nested = {"mlflow": ".predictions.outputs", "seldon": ".jsonData.outputs"}
    assert paths == nested.get(written.name.rstrip("0123456789"), ".outputs")


def test_start_says_where_it_listens_and_sets_what_it_uses(written: Path) -> None:
    head, _, command = (written / "start.sh").read_text().partition("PORT=${PORT:-8080}")
    assert ("HOST=" in head) == ("$HOST" in command)
    assert ("127.0.0.1" in head) == ("$HOST" in command)


def test_triton_is_not_started_without_the_wheel_and_says_so(tmp_path: Path) -> None:
    exported, recipe = formats.recipe_of("triton", "depth", "pocket", "auto", CATALOGUE)
    folder.write(tmp_path, "triton", exported, recipe)
    (tmp_path / "python").symlink_to(sys.executable)
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run([tmp_path / "start.sh"], env=variables, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("no tritonserver on the PATH")
    assert done.stderr.count("\n") == 1
