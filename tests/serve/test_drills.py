"""Overload, stopping, leaving, waiting and loading, for many at once; one at a time see test_rest.

Deadlines are wide: what is measured is order and number, on machines that may be busy.
"""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import pytest

from imagegraph.wire.grpc_messages import pb, stubs
from tests.serve.conftest import Server, request

Start = Callable[..., Server]
INFER = "/v2/models/m/infer"
SLEEP_S = 0.05
PATIENCE_S = 5.0  # with a busy machine


def talk(server: Server, work: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    """Runs `work` with a client of many connections."""

    async def main() -> Any:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        url = f"http://127.0.0.1:{server.http_port}"
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
            return await work(client)

    return asyncio.run(main())


def value(text: str, name: str) -> float:
    """Returns the sum over all labels of a metric on a page of metrics."""
    lines = [line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.split()[-1]) for line in lines)


def loading(server: Server) -> bool:
    """Returns whether the process does not answer yet."""
    assert server.process.poll() is None, server.log.read_text()
    try:
        return server.http.get("/v2/health/live").status_code != 200
    except httpx.TransportError:
        return True


def test_under_overload_some_are_answered_in_time_and_the_others_refused_at_once(start: Start) -> None:
    server = start("--component", "asleep", "--max-queue", "2")
    served: list[float] = []
    refused: list[float] = []

    async def client(line: httpx.AsyncClient) -> None:
        for _ in range(10):
            since = time.monotonic()
            answer = await line.post(INFER, json=request(seconds=SLEEP_S))
            taken = time.monotonic() - since
            if answer.status_code == 200:
                served.append(taken)
            else:
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert "the queue is full: 2 requests wait" in answer.text
                refused.append(taken)
                await asyncio.sleep(SLEEP_S)

    async def crowd(line: httpx.AsyncClient) -> None:
        await asyncio.gather(*(client(line) for _ in range(20)))

    talk(server, crowd)
    assert len(served) + len(refused) == 200
    assert refused, "twenty clients are many more than one node can serve"
    # Nobody waits for more than the queue and the one before it.
    assert sorted(served)[int(0.99 * len(served))] < 4 * SLEEP_S + PATIENCE_S
    since = time.monotonic()
    assert server.infer(seconds=0.0).status_code == 200
    assert time.monotonic() - since < PATIENCE_S
    page = server.http.get("/metrics").text
    assert value(page, "imagegraph_queue_depth") == value(page, "imagegraph_in_flight") == 0
    assert value(page, "imagegraph_requests_total") == 201


def test_no_request_that_was_accepted_is_lost_while_the_node_drains(start: Start) -> None:
    server = start("--component", "asleep", "--drain-delay", "2", "--max-queue", "1000")
    outcomes: Counter[str] = Counter()
    told = asyncio.Event()

    async def client(line: httpx.AsyncClient) -> None:
        while True:
            try:
                answer = await line.post(INFER, json=request(seconds=0.02))
            except httpx.ConnectError:
                outcomes["not taken"] += 1
                return
            except (httpx.RemoteProtocolError, httpx.ReadError):
                # An idle connection was closed while the next request was on its way: HTTP/1.1 cannot
                # avoid it, and nothing of the request was done.
                outcomes["closed when idle"] += 1
                return
            assert answer.status_code == 200
            outcomes["answered"] += 1
            if told.is_set() and answer.headers.get("connection") == "close":
                outcomes["sent away"] += 1

    async def stop(line: httpx.AsyncClient) -> None:
        await asyncio.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        told.set()
        await asyncio.sleep(0.4)
        assert (await line.get("/v2/health/ready")).status_code == 503
        assert (await line.get("/v2/health/live")).status_code == 200

    async def crowd(line: httpx.AsyncClient) -> None:
        await asyncio.gather(stop(line), *(client(line) for _ in range(10)))

    talk(server, crowd)
    assert server.process.wait(timeout=30) == 0
    begun = server.log.read_text().count('"message":"POST /v2/models/{model}/infer ')
    assert outcomes["answered"] > 20
    assert outcomes["sent away"] >= 10, "every client is told to use another connection"
    assert outcomes["not taken"] + outcomes["closed when idle"] == 10, "all clients were let go in the end"
    assert begun == outcomes["answered"], "whatever the node began, it answered"


def test_rest_and_grpc_drain_together(start: Start) -> None:
    server = start("--component", "asleep", "--drain-delay", "0.5")
    tensor = pb.ModelInferRequest.InferInputTensor(name="seconds", datatype="FP64", shape=[1])
    tensor.contents.fp64_contents.append(1.5)
    message = pb.ModelInferRequest(inputs=[tensor])
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        over_grpc = stubs.GRPCInferenceServiceStub(channel).ModelInfer.future(message, timeout=60)
        time.sleep(0.3)

        async def ask(line: httpx.AsyncClient) -> httpx.Response:
            call = asyncio.create_task(line.post(INFER, json=request(seconds=1.5)))
            await asyncio.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            return await call

        assert talk(server, ask).status_code == 200
        assert over_grpc.result().outputs[0].name == "slept"
    assert server.process.wait(timeout=30) == 0


def ended(server: Server, since: float) -> tuple[int, float]:
    """Returns the exit code of a process that ends, and the seconds that it took."""
    return server.process.wait(timeout=60), time.monotonic() - since


def test_a_signal_ends_a_node_that_loads(start: Start, tmp_path: Path) -> None:
    server = start("--component", "gated", "--drain-delay", "60", wait=False, GATE=str(tmp_path / "gate"))
    while loading(server):
        time.sleep(0.05)
    server.process.send_signal(signal.SIGTERM)
    code, seconds = ended(server, time.monotonic())
    assert code == 0
    assert seconds < PATIENCE_S, "whoever loads gets no requests: nobody has to notice"


def test_work_that_does_not_end_is_left_behind(start: Start) -> None:
    server = start("--component", "stubborn", "--grace", "1")

    async def ask(line: httpx.AsyncClient) -> tuple[int, float]:
        calls = [asyncio.create_task(line.post(INFER, json=request(seconds=60.0))) for _ in range(3)]
        await asyncio.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        since = time.monotonic()
        await asyncio.gather(*calls, return_exceptions=True)
        return await asyncio.to_thread(ended, server, since)

    code, seconds = talk(server, ask)
    assert code == 0
    assert 1 <= seconds < 1 + PATIENCE_S


def test_artifacts_that_are_no_weights_are_named(start: Start, tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    server = start("--component", "double", wait=False, AIP_STORAGE_URI=str(tmp_path))
    assert server.process.wait(timeout=60) == 1
    assert "holds no weights: expected folders models--" in server.log.read_text().splitlines()[-1]


def test_a_port_that_is_taken_is_named(start: Start, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        # The last of two options of one name counts.
        server = start("--component", "gated", "--grpc-port", str(port), wait=False, GATE=str(tmp_path / "g"))
        assert server.process.wait(timeout=60) == 1
    assert server.log.read_text().strip().endswith(f"error: port {port} is taken")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_node_at_once(start: Start, second: signal.Signals) -> None:
    server = start("--component", "stubborn", "--grace", "60", "--drain-delay", "60")
    server.process.send_signal(signal.SIGTERM)
    while server.http.get("/v2/health/ready").status_code == 200:
        time.sleep(0.05)
    server.process.send_signal(second)
    code, seconds = ended(server, time.monotonic())
    assert code == 128 + second
    assert seconds < PATIENCE_S


def test_a_signal_is_heard_while_everything_is_imported() -> None:
    command = [sys.executable, "-m", "imagegraph.cli", "serve", "--component", "depth", "--device", "cpu"]
    with subprocess.Popen(command) as process:
        status, end = Path(f"/proc/{process.pid}/status"), time.monotonic() + 60
        while not int(status.read_text().split("SigCgt:")[1].split()[0], 16) & 1 << signal.SIGTERM - 1:
            assert time.monotonic() < end
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        # By a handler: the first process of a container is not ended by a signal without.
        assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGTERM


def test_while_weights_load_requests_are_refused_and_none_after(start: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = start("--component", "gated", wait=False, GATE=str(gate))
    while loading(server):
        time.sleep(0.05)
    for _ in range(3):
        assert server.http.get("/v2/health/ready").status_code == 503
        assert server.http.get("/v2/health/live").status_code == 200
        refused = server.infer(number=1)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    gate.touch()
    server.wait()

    async def ask(line: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(line.post(INFER, json=request(number=1)) for _ in range(20)))

    assert {answer.status_code for answer in talk(server, ask)} == {200}, "ready is a promise"


def test_the_time_of_a_request_counts_while_it_waits(start: Start) -> None:
    server = start("--component", "asleep")

    async def ask(line: httpx.AsyncClient) -> list[httpx.Response]:
        first = asyncio.create_task(line.post(INFER, json=request(seconds=1.0)))
        await asyncio.sleep(0.2)
        hasty = {"X-Request-Timeout": "0.3"}
        late = [line.post(INFER, json=request(seconds=0.0), headers=hasty) for _ in range(20)]
        return [*await asyncio.gather(*late), await first]

    *late, first = talk(server, ask)
    assert first.status_code == 200
    assert {answer.status_code for answer in late} == {504}
    assert all("out of time" in answer.text or "time was over" in answer.text for answer in late)


def test_crowds_that_leave_leave_nothing_to_do(start: Start) -> None:
    server = start("--component", "asleep", "--max-queue", "1000")

    async def leave(line: httpx.AsyncClient) -> None:
        calls = [asyncio.create_task(line.post(INFER, json=request(seconds=60.0))) for _ in range(100)]
        await asyncio.sleep(1)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    talk(server, leave)
    since = time.monotonic()
    assert server.infer(seconds=0.0).status_code == 200
    assert time.monotonic() - since < 2 * PATIENCE_S
    page = server.http.get("/metrics").text
    assert value(page, "imagegraph_queue_depth") == value(page, "imagegraph_in_flight") == 0


@pytest.mark.parametrize("arguments", [(), ("--cache-mib", "2")], ids=["no cache", "full cache"])
def test_memory_does_not_grow_with_requests(start: Start, arguments: tuple[str, ...]) -> None:
    server = start("--component", "double", "--type", "TRANSFORMER", *arguments)

    def resident_bytes() -> int:
        return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096

    async def ask(line: httpx.AsyncClient) -> None:
        async def client(first: int) -> None:
            for index in range(first, first + 100):
                # Each another value, beside a heavy one that the node passes on.
                body = request(number=index, text=f"{index}" + "x" * 20_000)
                answer = await line.post(INFER, content=orjson.dumps(body))
                assert answer.status_code == 200

        await asyncio.gather(*(client(1000 * offset) for offset in range(8)))

    talk(server, ask)  # pools and the cache fill
    before = resident_bytes()
    talk(server, ask)
    talk(server, ask)
    assert resident_bytes() - before < 8 * 2**20
