"""docs/load.md is tested: its scenario can be read, its tables and commands name what there is."""

import inspect
import re
import shlex
from pathlib import Path

import pytest

from imagegraph.spec.catalogue import ROOT

TEXT = (ROOT / "docs" / "load.md").read_text()
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S) for line in block.splitlines()
]
LOAD = [shlex.split(line) for line in COMMANDS if "load.py" in line]


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "load-tests")


def test_the_table_lists_the_scenarios() -> None:
    from release import scenario

    named = set(re.findall(r"^\| `([a-z]+)` \|", TEXT, re.M))
    assert named == {path.stem for path in scenario.FOLDER.glob("*.yaml")}


def test_its_own_scenario_can_be_read(tmp_path: Path) -> None:
    from release import scenario

    file = tmp_path / "mine.yaml"
    file.write_text(re.findall(r"^```yaml\n(.*?)^```", TEXT, re.M | re.S)[0])
    assert scenario.read(str(file)).seconds == 930


@pytest.mark.parametrize("words", LOAD, ids=" ".join)
def test_commands_have_options_and_scenarios_that_there_are(words: list[str]) -> None:
    import load
    from release import scenario

    words = words[words.index("load-tests/load.py") + 1 :]
    command = {"list": load.list_, "run": load.run, "plan": load.plan}[words[0]]
    if words[0] == "run":
        scenario.read(words[1])
    taken = {name.strip("_").replace("_", "-") for name in inspect.signature(command).parameters}
    assert {word.removeprefix("--") for word in words if word.startswith("--")} <= taken


def test_locust_files_are_there() -> None:
    named = re.findall(r"locust -f (\S+)", TEXT)
    assert len(named) == 2
    assert all((ROOT / path).is_file() for path in named)
