"""Clients that nobody here wrote: KServe's and Triton's, over REST and gRPC."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http

from imagegraph.spec.catalogue import ROOT
from tests.serve.conftest import Server

PHOTO = ROOT / "pocket" / "examples" / "photo.jpg"


def facts_of(script: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, Path(__file__).with_name(script), *map(str, arguments)]
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120).stdout))


@pytest.fixture(scope="module")
def kserves(asleep: Server) -> dict[str, Any]:
    """What KServe's clients said."""
    return facts_of("kserve_clients.py", asleep.http_port, asleep.grpc_port)


def test_kserves_rest_client(kserves: dict[str, Any]) -> None:
    assert kserves["rest"] == {"live": True, "ready": True, "data": [0.01]}


def test_kserves_grpc_client(kserves: dict[str, Any]) -> None:
    facts = {"live": True, "ready": True, "data": [0.01], "late": "DEADLINE_EXCEEDED"}
    assert kserves["grpc"] == facts


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_http_client(identity: Server, binary: bool) -> None:
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{identity.http_port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert client.get_model_metadata("m")["inputs"][0]["name"] == "image"
    assert client.get_model_repository_index()[0]["state"] == "READY"
    tensor = tritonclient.http.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([PHOTO.read_bytes()], object), binary_data=True)
    output = tritonclient.http.InferRequestedOutput("image", binary_data=binary)
    answer = client.infer("m", [tensor], outputs=[output], request_id="r1")
    assert answer.get_response()["id"] == "r1"
    if binary:
        assert answer.as_numpy("image")[0] == PHOTO.read_bytes()
    client.close()


def triton_grpc(server: Server, picture: Path, name: str = "image") -> dict[str, Any]:
    return facts_of("triton_grpc.py", server.grpc_port, picture, name)


def test_tritons_grpc_client(identity: Server) -> None:
    facts = triton_grpc(identity, PHOTO)
    assert facts["ready"]
    assert facts["metadata"]["inputs"][0]["datatype"] == "BYTES"
    assert (facts["id"], facts["same"]) == ("r2", True)


@pytest.mark.parametrize(
    ("name", "picture", "message"),
    [
        ("image", Path(__file__), "image: expected a JPEG, PNG or WebP"),
        ("picture", PHOTO, "image: expected a value, got 'nothing'"),
    ],
)
def test_grpc_errors_have_the_right_code(identity: Server, name: str, picture: Path, message: str) -> None:
    facts = triton_grpc(identity, picture, name)
    assert facts["status"] == "StatusCode.INVALID_ARGUMENT"
    assert message in facts["message"]


def test_a_full_queue_is_resource_exhausted(kserves: dict[str, Any]) -> None:
    assert set(kserves["refused"]) == {"RESOURCE_EXHAUSTED"}
    assert 4 <= len(kserves["refused"]) <= 6


def test_a_cancelled_call_stops_its_work(kserves: dict[str, Any]) -> None:
    assert kserves["next_s"] < 5
