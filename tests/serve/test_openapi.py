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


def test_the_document_and_the_metadata_are_enough_to_make_a_form_of(start: Callable[..., Server]) -> None:
    server = start("--component", "everything")
    facts = {one["name"]: one["parameters"] for one in server.http.get("/v2/models/m").json()["inputs"]}
    assert facts["number"] == {"required": False, "default": 0, "schema": {"type": "integer", "minimum": 0}}
    assert facts["text"]["schema"]["description"]
    schemas = server.http.get("/openapi.json").json()["components"]["schemas"]
    properties = schemas["Instances"]["properties"]["instances"]["items"]["properties"]
    assert (properties["ratio"]["minimum"], properties["ratio"]["default"]) == (0, 0.5)
    inputs = schemas["Request"]["properties"]["inputs"]["items"]["anyOf"]
    tensors = {one["properties"]["name"]["const"]: one for one in inputs}
    assert tensors["number"]["properties"]["data"]["items"] == {"type": "integer", "minimum": 0}


def test_defaults_are_those_of_the_entry(start: Callable[..., Server]) -> None:
    number, _ = start("--component", "add").http.get("/v2/models/m").json()["inputs"]
    assert (number["parameters"]["required"], number["parameters"]["default"]) == (False, 5)
