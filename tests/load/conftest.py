"""The load tests of a release, as its operator runs them, and servers that they are run against."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagegraph.spec.catalogue import ROOT
from tests.serve.conftest import start

__all__ = ["start"]

# Before its modules are imported: no package of this project holds them.
sys.path.insert(0, str(ROOT / "load-tests"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs a scenario by the command line; returns how it ended, and its result."""
    import load

    def run(scenario: dict[str, Any] | str, *arguments: str) -> tuple[int, dict[str, Any]]:
        out, file = tmp_path / "out", tmp_path / "scenario.yaml"
        if isinstance(scenario, dict):
            file.write_text(json.dumps({"summary": "A test", "thresholds": {"lost": 0}, **scenario}))
            scenario = str(file)
        monkeypatch.setattr(sys, "argv", ["load.py", "run", scenario, "--out", str(out), *arguments])
        code = 0
        try:
            load.main()
        except SystemExit as end:
            code = int(end.code or 0)
        result = out / "result.json"
        return code, json.loads(result.read_text()) if result.exists() else {}

    return run
