"""Requests that the end of the grace period cuts are told so, and written down, over every protocol."""

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from grpc import aio

from imagegraph.wire.grpc_messages import SERVICE, StreamResponse, pb
from tests.serve.conftest import Server, request

INFER = "/v2/models/m/infer"
ENDS = "the process ends"


@pytest.fixture(scope="module")
def cut(start: Callable[..., Server]) -> dict[str, Any]:
    """What clients of every protocol got from a process whose grace period was shorter than their work."""
    server = start("--component", "stubborn", "--grace", "0.5")

    async def post(http: httpx.AsyncClient, **headers: str) -> httpx.Response:
        return await http.post(INFER, json=request(seconds=60.0), headers=headers)

    async def upload() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{" % INFER.encode())
        return await reader.read()

    tensor = pb.ModelInferRequest.InferInputTensor(name="seconds", datatype="FP64", shape=[1])
    tensor.contents.fp64_contents.append(60.0)
    message = pb.ModelInferRequest(inputs=[tensor])

    async def call(channel: aio.Channel) -> aio.AioRpcError:
        method = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        with pytest.raises(aio.AioRpcError) as caught:
            await method(message)
        return caught.value

    async def stream(channel: aio.Channel) -> Any:
        method = channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=StreamResponse.FromString,
        )
        return [one async for one in method(iter([message]))][-1]

    async def stop() -> int:
        await asyncio.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(server.process.wait, 60)

    async def all_at_once() -> dict[str, Any]:
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}", timeout=30) as http,
            aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
        ):
            works = {
                "rest": post(http),
                "events": post(http, Accept="text/event-stream"),
                "v1": http.post("/v1/models/m:predict", json={"instances": [{"seconds": 60.0}]}),
                "upload": upload(),
                "grpc": call(channel),
                "stream": stream(channel),
                "code": stop(),
            }
            return dict(zip(works, await asyncio.gather(*works.values()), strict=True))

    answers = asyncio.run(all_at_once())
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return {**answers, "log": [line for line in lines if "status" in line]}


@pytest.mark.parametrize("protocol", ["rest", "v1"])
def test_an_answer_that_is_cut_is_503_in_json(cut: dict[str, Any], protocol: str) -> None:
    answer = cut[protocol]
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert ENDS in answer.json()["error"]


def test_a_body_that_has_not_come_is_told_too(cut: dict[str, Any]) -> None:
    head, _, body = cut["upload"].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert ENDS in json.loads(body)["error"]


def test_events_that_are_cut_end_with_an_error(cut: dict[str, Any]) -> None:
    *_, last = cut["events"].text.strip().split("\n\n")
    kind, data = last.split("\n")
    assert kind == "event: error"
    facts = json.loads(data.removeprefix("data: "))
    assert facts["status"] == 503
    assert ENDS in facts["error"]


def test_calls_and_streams_that_are_cut_are_unavailable(cut: dict[str, Any]) -> None:
    assert cut["grpc"].code() is grpc.StatusCode.UNAVAILABLE
    assert ENDS in cut["grpc"].details()
    assert ENDS in cut["stream"].error_message


def test_what_is_cut_is_written_down_and_the_process_ends_well(cut: dict[str, Any]) -> None:
    assert cut["code"] == 0
    assert sorted((line["protocol"], line["status"]) for line in cut["log"]) == [
        *[("grpc", 503)] * 2,
        *[("rest", 503)] * 4,
    ]
