"""What hangs: a component that computes for ever, and a shadow that does not answer."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx

from imagegraph.spec.graph import Node
from imagegraph.wire.grpc_messages import pb, stubs
from tests.serve.conftest import Server, request
from tests.serve.test_manifest import manifest, predictor

Start = Callable[..., Server]
INFER = "/v2/models/m/infer"


def until(holds: Callable[[], bool], server: Server) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, server.log.read_text()
        time.sleep(0.05)


def test_a_component_that_hangs_makes_its_process_not_alive(start: Start) -> None:
    server = start("--component", "stubborn", "--watchdog", "1")
    channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
    stub = stubs.GRPCInferenceServiceStub(channel)

    def answers() -> list[tuple[int, Any]]:
        found = [server.http.get(path) for path in ("/v2/health/live", "/", "/v2/health/ready")]
        return [(answer.status_code, answer.json().get("error")) for answer in found]

    def alive() -> bool:
        return bool(stub.ServerLive(pb.ServerLiveRequest(), timeout=30).live)

    well, hung = [(200, None)] * 3, [(503, "no sign of life: stubborn")] * 3
    assert server.infer(seconds=0.01).status_code == 200
    assert (answers(), alive()) == (well, True)
    late = server.http.post(INFER, json=request(seconds=5.0), headers={"X-Request-Timeout": "0.1"})
    assert late.status_code == 504
    until(lambda: answers() == hung, server)
    until(lambda: not alive(), server)
    until(lambda: answers() == well, server)
    assert alive()
    assert server.infer(seconds=0.01).status_code == 200
    channel.close()


def skipped(server: Server) -> int:
    lines = server.http.get("/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith("imagegraph_shadow_skipped_total{")]
    return sum(int(float(line.split()[-1])) for line in counts)


def copies(server: Server, code: int) -> int:
    lines = server.http.get("/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith("imagegraph_requests_total{") and "shadow" in line]
    return sum(int(float(line.split()[-1])) for line in counts if f'code="{code}"' in line)


def test_a_shadow_that_hung_is_asked_again_and_what_it_missed_is_counted(
    start: Start, tmp_path: Path
) -> None:
    stable = predictor(Node(name="double"), {}, traffic=100)
    pod = start("--component", "stubborn")
    hung: dict[str, Any] = {"name": "try", "shadow": True, "traffic": 100}
    shadow = predictor(Node(name="stubborn"), {"stubborn": pod}, **hung)
    engine = start("--manifest", str(manifest(tmp_path / "m.yaml", stable, shadow)))

    def ask() -> httpx.Response:
        return engine.http.post(INFER, json=request(number=1), headers={"X-Request-Timeout": "0.9"})

    # The first copy is computed for a minute, the others wait behind it.
    assert {ask().status_code for _ in range(40)} == {200}
    until(lambda: skipped(engine) + copies(engine, 504) == 40, engine)
    assert skipped(engine) > 0
    before = copies(engine, 504)
    assert ask().status_code == 200
    until(lambda: copies(engine, 504) == before + 1, engine)
