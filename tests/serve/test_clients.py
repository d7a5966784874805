"""Clients that nobody here wrote: KServe's and Triton's, over REST and gRPC."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.http

from imagegraph.spec.catalogue import ROOT
from imagegraph.wire.grpc_messages import kserve
from tests.serve.conftest import Server

RESTConfig = kserve.inference_client.RESTConfig

PHOTO = ROOT / "pocket" / "examples" / "photo.jpg"
Start = Callable[..., Server]


def seconds(value: float) -> kserve.InferRequest:
    tensor = kserve.InferInput("seconds", [1], "FP64", data=[value])
    return kserve.InferRequest(model_name="m", infer_inputs=[tensor])


def test_kserves_rest_client(asleep: Server) -> None:
    async def main() -> None:
        base = f"http://127.0.0.1:{asleep.http_port}"
        assert await kserve.InferenceRESTClient().is_server_live(base)
        client = kserve.InferenceRESTClient(RESTConfig(protocol="v2"))
        assert await client.is_server_live(base)
        assert await client.is_server_ready(base)
        assert await client.is_model_ready(base, "m")
        answer = await client.infer(base, seconds(0.01), model_name="m")
        assert answer.outputs[0].data == [0.01]
        await client.close()

    asyncio.run(main())


def test_kserves_grpc_client(asleep: Server) -> None:
    async def main() -> None:
        client = kserve.InferenceGRPCClient(f"127.0.0.1:{asleep.grpc_port}")
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("m")
        answer = await client.infer(seconds(0.01))
        assert answer.outputs[0].as_numpy().tolist() == [0.01]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.infer(seconds(20.0), timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await client.close()

    asyncio.run(main())


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
    script = Path(__file__).with_name("triton_grpc.py")
    command = [sys.executable, script, str(server.grpc_port), picture, name]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout))


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


def test_a_full_queue_is_resource_exhausted(asleep: Server) -> None:
    async def main() -> list[Any]:
        client = kserve.InferenceGRPCClient(f"127.0.0.1:{asleep.grpc_port}")
        calls = [client.infer(seconds(0.5)) for _ in range(8)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await client.close()
        return answers

    answers = asyncio.run(main())
    codes = [one.code() for one in answers if isinstance(one, grpc.aio.AioRpcError)]
    assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert 4 <= len(codes) <= 6


def test_a_cancelled_call_stops_its_work(asleep: Server) -> None:
    async def main() -> None:
        client = kserve.InferenceGRPCClient(f"127.0.0.1:{asleep.grpc_port}")
        task = asyncio.create_task(client.infer(seconds(30.0)))
        await asyncio.sleep(0.5)
        task.cancel()
        start = time.monotonic()
        await client.infer(seconds(0.01))
        assert time.monotonic() - start < 5
        await client.close()

    asyncio.run(main())
