"""In ClearML Serving's own application, the class of an endpoint answers what our own server answers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.export.conftest import Serve
from tests.export.serving import COMPONENTS, Exported, programs, request, tensor


def start(serve: Serve, component: str) -> Exported:
    """Starts the application without the server that `start.sh` needs."""
    command = [programs("clearml") / "python", Path(__file__).with_name("clearml_offline.py"), component]
    return serve("clearml", component, command, ready="/docs")


@pytest.mark.parametrize("component", COMPONENTS)
def test_it_answers_byte_for_byte_as_we_do(
    serve: Serve, expected: Callable[[str], Any], component: str
) -> None:
    answer = start(serve, component).post(f"/serve/{component}", request(component))
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"] == expected(component)


def test_what_is_wrong_is_said_in_our_words(serve: Serve) -> None:
    refused = start(serve, "depth").post("/serve/depth", {"inputs": [tensor("image", "no picture")]})
    assert refused.status_code == 422
    assert "image: expected an image as base64" in refused.json()["detail"]


def test_the_command_that_makes_it_known_is_one_that_clearml_has(serve: Serve) -> None:
    server = start(serve, "depth")
    text = (server.folder / "start.sh").read_text()
    assert re.search(r"^: \"\$\{CLEARML_SERVING_TASK_ID:\?", text, re.M)
    said = server.run("./start.sh")
    assert said.returncode
    assert "the id that clearml-serving create has said" in said.stderr
