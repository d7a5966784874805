"""A request that is refused, fails or is given up leaves nothing behind, whatever it brought."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import pytest
from grpc import aio

from imagegraph.wire.grpc_messages import SERVICE, StreamResponse, pb
from tests.serve.conftest import Server, request, resident_bytes

BALLAST = "x" * 2**20
ROUNDS = 12  # each of 23 requests and more
INFER = "/v2/models/m/infer"
Rest = Callable[[httpx.AsyncClient], Awaitable[None]]
Grpc = Callable[[aio.Channel], Awaitable[None]]


@pytest.fixture(scope="module")
def torn(start: Callable[..., Server]) -> Server:
    """A graph of two nodes that fail together."""
    return start("--graph", "torn", "--max-queue", "8")


def body(fate: str, **more: Any) -> dict[str, Any]:
    return {**request(fate=fate, ballast=BALLAST), **more}


def posts(asked: Any, status: int, path: str = INFER, **headers: str) -> Rest:
    async def ask(http: httpx.AsyncClient) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await http.post(path, json=asked, headers=named)
        assert answer.status_code == status, answer.text[:500]

    return ask


def watches(asked: Any) -> Rest:
    async def ask(http: httpx.AsyncClient) -> None:
        answer = await http.post(INFER, json=asked, headers={"Accept": "text/event-stream"})
        assert "event: error" in answer.text

    return ask


async def leaves(http: httpx.AsyncClient) -> None:
    with contextlib.suppress(httpx.ReadTimeout):
        await http.post(INFER, json=body("sleep"), timeout=0.1)


async def leaves_watching(http: httpx.AsyncClient) -> None:
    watching = {"Accept": "text/event-stream"}
    async with http.stream("POST", INFER, json=body("sleep"), headers=watching) as answer:
        async for _ in answer.aiter_bytes():
            break


async def overloads(http: httpx.AsyncClient) -> None:
    asked = [asyncio.create_task(http.post(INFER, json=body("sleep"))) for _ in range(10)]
    try:
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result().status_code for task in done} == {503}
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


ONE = {"fate": "refuse", "ballast": BALLAST}
OVER_REST: dict[str, Rest] = {
    "no tensors": posts({"inputs": [BALLAST]}, 400),
    "a wrong tensor": posts(request(fate=[1, 2], ballast=BALLAST), 400),
    "an input refused at work": posts(body("refuse"), 400),
    "an unknown input": posts({"inputs": [*body("fine")["inputs"], *request(fat="x")["inputs"]]}, 404),
    "an unknown predictor": posts(body("fine"), 404, x_predictor="x"),
    "an unknown output": posts(body("fine", outputs=[{"name": "x"}]), 404),
    "no time": posts(body("sleep"), 504, x_request_timeout="0.1"),
    "a broken component": posts(body("raise"), 500),
    "what it cannot do": posts([body("fine"), body("fine")], 501, "/v2/models/m/route"),
    "wrong instances": posts({"instances": [ONE, ONE]}, 400, "/v1/models/m:predict"),
    "broken instances": posts({"instances": [{**ONE, "fate": "raise"}]}, 500, "/v1/models/m:predict"),
    "an event of error": watches(body("raise")),
    "leaving": leaves,
    "leaving events": leaves_watching,
    "overload": overloads,
}


def message(fate: str, **more: Any) -> Any:
    tensors = [
        pb.ModelInferRequest.InferInputTensor(name=name, datatype="BYTES", shape=[1])
        for name in ("fate", "ballast")
    ]
    raws = [len(one).to_bytes(4, "little") + one for one in (fate.encode(), BALLAST.encode())]
    return pb.ModelInferRequest(inputs=tensors, raw_input_contents=raws, **more)


def calls(message: Any, code: grpc.StatusCode, timeout: float = 30, **metadata: str) -> Grpc:
    async def ask(channel: aio.Channel) -> None:
        call = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        named = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        with pytest.raises(aio.AioRpcError) as caught:
            await call(message, timeout=timeout, metadata=named)
        assert caught.value.code() is code, caught.value

    return ask


def streams(message: Any, timeout: float = 30) -> Grpc:
    """Asks by a stream, which ends with an error or, with a timeout, is left."""

    async def ask(channel: aio.Channel) -> None:
        stream = channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=StreamResponse.FromString,
        )
        with contextlib.suppress(aio.AioRpcError):
            last = [one async for one in stream(iter([message]), timeout=timeout)][-1]
            assert last.error_message

    return ask


HALF = message("fine")
HALF.raw_input_contents[0:1] = []
UNKNOWN = pb.ModelInferRequest.InferRequestedOutputTensor(name="x")
OVER_GRPC: dict[str, Grpc] = {
    "a wrong tensor": calls(HALF, grpc.StatusCode.INVALID_ARGUMENT),
    "an input refused at work": calls(message("refuse"), grpc.StatusCode.INVALID_ARGUMENT),
    "an unknown output": calls(message("fine", outputs=[UNKNOWN]), grpc.StatusCode.NOT_FOUND),
    "an unknown predictor": calls(message("fine"), grpc.StatusCode.NOT_FOUND, x_predictor="x"),
    "no time": calls(message("sleep"), grpc.StatusCode.DEADLINE_EXCEEDED, timeout=0.2),
    "a broken component": calls(message("raise"), grpc.StatusCode.INTERNAL),
    "an error of a stream": streams(message("raise")),
    "a stream that is left": streams(message("sleep"), timeout=0.2),
}


async def rests(http: httpx.AsyncClient) -> None:
    """Waits until the server has let go of what was given up."""
    while (await http.post(INFER, json=request(fate="fine"))).status_code != 200:
        await asyncio.sleep(0.02)


async def ask_all(server: Server, rounds: int) -> None:
    url = f"http://127.0.0.1:{server.http_port}"
    async with (
        httpx.AsyncClient(base_url=url, timeout=30) as http,
        aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        for _ in range(rounds):
            for name, rest in OVER_REST.items():
                print(name)  # pytest shows which one failed
                await rest(http)
                await rests(http)
            for name, over_grpc in OVER_GRPC.items():
                print(name)
                await over_grpc(channel)
                await rests(http)


def test_no_kind_of_refusal_keeps_what_the_request_brought(torn: Server) -> None:
    asyncio.run(ask_all(torn, 2))  # pools fill
    before = resident_bytes(torn)
    asyncio.run(ask_all(torn, ROUNDS))
    print((resident_bytes(torn) - before) / 2**20)
    assert resident_bytes(torn) - before < 9 * len(BALLAST)
