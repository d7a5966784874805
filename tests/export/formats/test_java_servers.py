"""TorchServe and multi-model-server answer what our own server answers; they hand bodies on as they come."""

import io
import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pybase64
import pytest

from imagegraph.export import folder
from imagegraph.export.formats import recipe_of
from imagegraph.spec.catalogue import Catalogue
from imagegraph.wire import v2_json
from tests.export.conftest import Serve
from tests.export.serving import Exported, request, tensor

SERVERS = {
    "torchserve": ("/v2/health/ready", "/v2/models/depth/infer"),
    "mms": ("/ping", "/predictions/depth"),
}


@pytest.fixture(scope="module", params=SERVERS)
def asked(request: pytest.FixtureRequest, serve: Serve) -> tuple[Exported, str]:
    """A server, and the path at which it is asked."""
    if not shutil.which("java"):
        pytest.skip("no Java here")
    ready, path = SERVERS[request.param]
    return serve(request.param, "depth", ready=ready), path


def test_it_answers_byte_for_byte_as_we_do(
    asked: tuple[Exported, str], expected: Callable[[str], Any]
) -> None:
    server, path = asked
    answer = server.post(path, request("depth"))
    assert answer.status_code == 200, server.log
    assert answer.json()["outputs"] == expected("depth")


def test_the_binary_extension_goes_through(
    asked: tuple[Exported, str], expected: Callable[[str], Any]
) -> None:
    server, path = asked
    body, length = v2_json.encode(v2_json.decode(v2_json.plain(request("depth"))))
    headers = {"content-type": "application/octet-stream", v2_json.HEADER_LENGTH: str(length)}
    answer = server.http.post(path, content=body, headers=headers)
    assert answer.status_code == 200, server.log
    assert answer.content.endswith(pybase64.b64decode(expected("depth")[0]["data"][0]))


def test_what_is_wrong_is_said_as_our_server_says_it(asked: tuple[Exported, str]) -> None:
    server, path = asked
    refused = server.post(path, {"inputs": [tensor("image", "no picture")]})
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("node 'depth': image: expected an image as base64")


@pytest.mark.parametrize("format", SERVERS)
def test_an_archive_is_the_same_every_time_and_says_what_its_handler_is(format: str) -> None:
    name = "store/depth.mar"
    one, two = (
        recipe_of(format, "depth", "pocket", "cpu", Catalogue.read())[1].files[name] for _ in range(2)
    )
    assert one == two
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        assert '"handler' in archive.read("MAR-INF/MANIFEST.json").decode()
        assert '"depth", "pocket", "cpu"' in archive.read("handler.py").decode()


@pytest.mark.parametrize(("format", "program"), [("torchserve", "torchserve"), ("mms", "multi-model-server")])
def test_start_ends_as_the_server_ends_and_well_when_it_was_told_to(
    format: str, program: str, tmp_path: Path
) -> None:
    exported, recipe = recipe_of(format, "depth", "pocket", "auto", Catalogue.read())
    folder.write(tmp_path, format, exported, recipe)
    stub = tmp_path / "bin" / program
    stub.parent.mkdir()
    variables = {"PATH": f"{stub.parent}:{os.environ['PATH']}"}

    def server(script: str) -> None:
        stub.write_text(f"#!/bin/sh\n{script}\n")
        stub.chmod(0o755)

    server("exit 7")
    assert subprocess.run([tmp_path / "start.sh"], env=variables, timeout=20).returncode == 7
    # As theirs do, it says nothing and ends by a file.
    server('test "$1" = --stop && exec touch end; touch up; until test -e end; do sleep 0.1; done; exit 143')
    with subprocess.Popen([tmp_path / "start.sh"], env=variables) as process:
        while not (tmp_path / "up").exists():
            time.sleep(0.05)
        process.terminate()
        assert process.wait(20) == 0
