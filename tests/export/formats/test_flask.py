"""Flask answers what our own server answers: in this environment by its own server, then under gunicorn."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.export.conftest import Serve
from tests.export.serving import COMPONENTS, Exported, request, tensor

OWN = (sys.executable, "-c", "from app import app; import os; app.run('127.0.0.1', int(os.environ['PORT']))")


@pytest.mark.parametrize("command", [OWN, ()], ids=["flask", "start.sh"])
@pytest.mark.parametrize("component", COMPONENTS)
def test_it_answers_byte_for_byte_as_we_do(
    serve: Serve, expected: Callable[[str], Any], component: str, command: Sequence[str]
) -> None:
    server = serve("flask", component, command)
    answer = server.post(f"/v2/models/{component}/infer", request(component))
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"] == expected(component)


@pytest.fixture
def depth(serve: Serve) -> Exported:
    return serve("flask", "depth", OWN)


def test_the_example_of_the_readme_is_answered(depth: Exported) -> None:
    example = json.loads((depth.folder / "request.json").read_bytes())
    answer = depth.post("/v2/models/depth/infer", example)
    assert [one["name"] for one in answer.json()["outputs"]] == ["depth"]


def test_what_is_wrong_is_said_as_our_server_says_it(depth: Exported) -> None:
    refused = depth.post("/v2/models/depth/infer", {"inputs": [tensor("image", "no picture")]})
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("node 'depth': image: expected an image as base64")
    misspelt = depth.post("/v2/models/depth/infer", {"inputs": [tensor("imago", "no picture")]})
    assert (misspelt.status_code, misspelt.json()["error"][:23]) == (404, "unknown input 'imago'. ")
    assert depth.http.get("/nowhere").status_code == 404
    assert depth.http.post("/v2/models/depth").status_code == 405


def test_a_body_that_is_too_large_is_not_read(depth: Exported) -> None:
    assert depth.http.post("/v2/models/depth/infer", content=bytes(65 * 2**20)).status_code == 413


def test_it_says_what_goes_in_and_out(depth: Exported) -> None:
    about = depth.http.get("/v2/models/depth").json()
    assert [one["name"] for one in about["inputs"]] == ["image"]
    assert "imagegraph_requests_total" in depth.http.get("/metrics").text
