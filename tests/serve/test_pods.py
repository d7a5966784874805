"""The engine in front of pods: what goes out to them, when it is given up, and whose fault it is."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagegraph.spec.graph import Node
from tests.serve.conftest import Server, outputs, request
from tests.serve.test_manifest import manifest, predictor, requests_of

Start = Callable[..., Server]
INFER = "/v2/models/m/infer"
LINE = Node.model_validate(
    {"name": "double", "type": "TRANSFORMER", "children": [{"name": "asleep"}]},
)


@pytest.fixture(scope="module")
def pods(start: Start) -> dict[str, Server]:
    types = {"double": "TRANSFORMER", "asleep": "MODEL"}
    started = {name: start("--component", name, "--type", kind, wait=False) for name, kind in types.items()}
    return {name: server.wait() for name, server in started.items()}


def grpc_predictor(root: Node, pods: dict[str, Server], **about: Any) -> dict[str, Any]:
    made = predictor(root, pods, **about)
    units = [made["graph"]]
    for unit in units:
        units.extend(unit.get("children", []))
        if "endpoint" in unit:
            port = pods[unit["name"]].grpc_port
            unit["endpoint"] = {"service_host": "127.0.0.1", "grpcPort": port, "type": "GRPC"}
    return made


@pytest.fixture(scope="module", params=["REST", "GRPC"])
def engine(
    request: pytest.FixtureRequest, start: Start, pods: dict[str, Server], tmp_path_factory: Any
) -> Server:
    make = predictor if request.param == "REST" else grpc_predictor
    limit = {"timeout-ms.imagegraph/asleep": "2000"}
    path = tmp_path_factory.mktemp("manifest") / "m.yaml"
    # Whatever proxies there are for the world outside: pods are asked past them.
    names = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")
    proxies = {one: "http://127.0.0.1:1" for name in names for one in (name, name.upper())}
    arguments = ("--manifest", str(manifest(path, make(LINE, pods, annotations=limit))))
    return start(*arguments, **proxies, no_proxy="", NO_PROXY="")


def lines(server: Server) -> list[dict[str, Any]]:
    """The log, line by line."""
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


def test_a_line_of_pods_answers(engine: Server, pods: dict[str, Server]) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Request-Id": "r-7", "traceparent": trace}
    answer = engine.http.post(INFER, json=request(number=4, seconds=0.01), headers=headers)
    assert outputs(answer) == {"slept": [0.01]}
    assert answer.json()["id"] == "r-7"
    for server in (engine, *pods.values()):
        line = next(line for line in lines(server)[::-1] if line.get("request_id") == "r-7")
        assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
        assert line["status"] == 200


@pytest.mark.parametrize("state", [b"a=1\t,\tb=2", "a=é".encode("latin-1"), "a=é".encode(), b"no state"])
def test_a_trace_state_of_any_bytes_is_no_fault(engine: Server, state: bytes) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = [(b"traceparent", trace.encode()), (b"tracestate", state)]
    answer = engine.http.post(INFER, json=request(number=4, seconds=0.01), headers=headers)
    assert outputs(answer) == {"slept": [0.01]}
    assert answer.headers["traceparent"] == trace


def test_pods_answer_v1_in_plain_values(engine: Server) -> None:
    instances = {"instances": [{"number": 4}, {"number": 5}], "parameters": {"seconds": 0.01}}
    answer = engine.http.post("/v1/models/m:predict", json=instances)
    assert answer.json() == {"predictions": [{"slept": 0.01}, {"slept": 0.01}]}


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({"number": 4, "seconds": "x"}, 400, "node 'asleep': seconds: expected a valid number"),
        ({}, 400, "node 'double': number: expected a value, got 'nothing'"),
        ({"number": 4, "seconds": 20.0}, 504, "node 'asleep': "),
    ],
)
def test_errors_name_the_node_once_and_keep_its_status(
    engine: Server, values: dict[str, Any], status: int, words: str
) -> None:
    start = time.monotonic()
    answer = engine.infer(INFER, **values)
    error = answer.json()["error"]
    assert (answer.status_code, error[: len(words)]) == (status, words)
    assert error.count("node '") == 1
    assert time.monotonic() - start < 15, "the node has two seconds"


def test_a_client_that_leaves_stops_the_work_in_the_pod(engine: Server, pods: dict[str, Server]) -> None:
    before = [line for line in lines(pods["asleep"]) if line.get("status") == 499]
    body = request(number=1, seconds=1.9)
    with pytest.raises(httpx.ReadTimeout):
        engine.http.post(INFER, json=body, headers={"X-Request-Id": "left"}, timeout=0.5)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        gone = [line for line in lines(pods["asleep"]) if line.get("status") == 499]
        if len(gone) > len(before):
            break
        time.sleep(0.05)
    assert gone[-1]["request_id"] == "left"
    assert gone[-1]["seconds"] < 1.9


def test_nodes_are_timed_by_the_engine(engine: Server) -> None:
    engine.infer(INFER, number=4, seconds=0.01)
    page = engine.http.get("/metrics").text
    for node in ("double", "asleep"):
        labels = f'model_name="sum",node="{node}",outcome="finished",predictor="default",role="engine"'
        assert f"imagegraph_node_seconds_count{{{labels}}}" in page


def test_a_pod_that_comes_back_is_found_again(start: Start, tmp_path: Path) -> None:
    pod = start("--component", "double")
    engines = {
        type_: start("--manifest", str(manifest(tmp_path / f"{type_}.yaml", made)), wait=False)
        for type_, made in {
            "REST": predictor(Node(name="double"), {"double": pod}),
            "GRPC": grpc_predictor(Node(name="double"), {"double": pod}),
        }.items()
    }
    for engine in engines.values():
        assert outputs(engine.wait().infer(INFER, number=4)) == {"doubled": [8]}
    pod.process.kill()
    pod.process.wait()
    for engine in engines.values():
        refused = engine.infer(INFER, number=4)
        assert refused.status_code == 503
        assert refused.json()["error"].startswith("node 'double': ")
    ports = ["--http-port", str(pod.http_port), "--grpc-port", str(pod.grpc_port)]
    again = start("--component", "double", *ports, wait=False)
    again.http.base_url = pod.http.base_url
    again.wait()
    for engine in engines.values():
        assert outputs(engine.infer(INFER, number=4)) == {"doubled": [8]}
    assert requests_of(again) == 2


def test_split_services_are_counted_by_the_predictor_that_answered(start: Start, tmp_path: Path) -> None:
    stable = predictor(Node(name="double"), {}, name="stable", traffic=50)
    canary = predictor(Node(name="add"), {}, name="canary", traffic=50)
    server = start("--manifest", str(manifest(tmp_path / "m.yaml", stable, canary)))
    for pinned, status in (("stable", 200), ("canary", 200), ("canary", 200), ("evil-name", 404)):
        answer = server.http.post(INFER, json=request(number=1), headers={"X-Predictor": pinned})
        assert answer.status_code == status
    page = server.http.get("/metrics").text
    counted = [line.split() for line in page.splitlines() if line.startswith("imagegraph_requests_total{")]
    by_predictor: Counter[str] = Counter()
    for labels, count in counted:
        by_predictor[labels.split('predictor="')[1].split('"')[0]] += int(float(count))
    assert by_predictor == {"stable": 1, "canary": 2, "": 1}
    assert "evil-name" not in page
