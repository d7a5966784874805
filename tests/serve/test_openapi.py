"""The OpenAPI document is true: schemathesis asks whatever it allows, and much that it does not."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.serve.conftest import Server


def test_every_answer_is_as_documented(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start("--component", "add")
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "run",
        f"http://127.0.0.1:{server.http_port}/openapi.json",
        "--checks=all",
        "--exclude-checks=positive_data_acceptance",  # a tensor's data has to fit its shape, too
        "--max-examples=30",
        "--seed=1",
        "--no-color",
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout[-6000:]
