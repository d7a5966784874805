"""Whatever can be known is refused before the first node runs, in the same words over every protocol."""

import json
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from imagegraph.client import Client
from imagegraph.message import Message
from imagegraph.wire.grpc_messages import stubs
from imagegraph.wire.v2_grpc import encode_request
from tests import tiny
from tests.serve.conftest import Server, request
from tests.serve.test_manifest import manifest, predictor

INFER = "/v2/models/m/infer"
# Only the last node of the graph refuses it.
LATE = "node 'add': number: expected greater than or equal to 0, got -1"
MISSPELT = "unknown output 'nmber'. Did you mean 'number'? Available: doubled, number"

# Sends a number, and asks for one output or all; returns the status and the words of the refusal.
Send = Callable[[Server, int, str | None], tuple[int, str]]


def rest(server: Server, number: int, output: str | None) -> tuple[int, str]:
    asked = {"outputs": [{"name": output}]} if output else {}
    answer = server.http.post(INFER, json={**request(number=number), **asked})
    return answer.status_code, answer.json()["error"]


def events(server: Server, number: int, output: str | None) -> tuple[int, str]:
    asked = {"outputs": [{"name": output}]} if output else {}
    headers = {"Accept": "text/event-stream"}
    answer = server.http.post(INFER, json={**request(number=number), **asked}, headers=headers)
    return answer.status_code, answer.json()["error"]


def v1(server: Server, number: int, output: str | None) -> tuple[int, str]:
    assert output is None, "V1 has no outputs to ask for"
    answer = server.http.post("/v1/models/m:predict", json={"instances": [{"number": number}]})
    return answer.status_code, answer.json()["error"]


def grpc_(server: Server, number: int, output: str | None) -> tuple[int, str]:
    asked = encode_request(Message({"number": number}), "m")
    if output:
        asked.outputs.add(name=output)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        with pytest.raises(grpc.RpcError) as refusal:
            stubs.GRPCInferenceServiceStub(channel).ModelInfer(asked)
        status = dict(refusal.value.trailing_metadata())["x-status"]
        return int(status), refusal.value.details()


@pytest.fixture(scope="module")
def server(start: Callable[..., Server]) -> Server:
    return start("--graph", "sum")


@pytest.mark.parametrize(
    ("send", "number", "output", "refusal"),
    [
        *((send, -1, None, (400, LATE)) for send in (rest, events, v1, grpc_)),
        *((send, 1, "nmber", (404, MISSPELT)) for send in (rest, events, grpc_)),
    ],
)
def test_it_is_refused_and_no_node_has_run(
    server: Server, send: Send, number: int, output: str | None, refusal: tuple[int, str]
) -> None:
    assert send(server, number, output) == refusal
    assert "imagegraph_node_seconds_count" not in server.http.get("/metrics").text


def test_what_is_right_is_answered(server: Server) -> None:
    asked = {**request(number=1), "outputs": [{"name": "number"}]}
    assert json.loads(server.http.post(INFER, json=asked).text)["outputs"][0]["data"] == [13]


def test_what_a_request_brings_is_not_read_again(server: Server) -> None:
    answer = server.http.post(INFER, json=request(number=1, doubled=40)).json()
    assert {one["name"]: one["data"] for one in answer["outputs"]} == {"number": [51], "doubled": [40]}
    assert answer["parameters"]["cache_hits"] == "double"
    refused = server.http.post(INFER, json=request(number=1, doubled="x"))
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("node 'double': doubled: expected a valid integer")


def test_a_pod_is_not_asked_for_what_a_request_brings(start: Callable[..., Server], tmp_path: Path) -> None:
    pod = start("--component", "double")
    graph = tiny.catalogue(tmp_path).graph("sum").root
    engine = start("--manifest", str(manifest(tmp_path / "m.yaml", predictor(graph, {"double": pod}))))
    with Client(f"http://127.0.0.1:{engine.http_port}") as client:
        brought = client.infer("sum", number=1, doubled=40)
        page = pod.http.get("/metrics").text
        assert {line.split()[-1] for line in page.splitlines() if "imagegraph_requests_total{" in line} == {
            "0.0"
        }
        asked = client.infer("sum", number=1)
    assert (brought.number, asked.number) == (51, 13)
    assert brought.timings.keys() == asked.timings.keys() == {"source", "double", "unite", "add"}


def test_metadata_say_what_a_request_may_bring(server: Server) -> None:
    known = server.http.get("/v2/models/m").json()
    assert {one["name"]: one["parameters"].get("prior", False) for one in known["outputs"]} == {
        "doubled": True,
        "number": False,
    }
