"""A manifest whose nodes answer in processes of their own: the engine in front of pods."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from imagegraph.spec.graph import Node
from imagegraph.spec.seldon import seldon_deployment
from tests.serve.conftest import Server, request

Start = Callable[..., Server]
SUM = Node.model_validate(
    {
        "name": "add",
        "type": "OUTPUT_TRANSFORMER",
        "children": [
            {
                "name": "unite",
                "type": "COMBINER",
                "children": [{"name": "source", "type": "TRANSFORMER"}, {"name": "double"}],
            }
        ],
    }
)


def endpoint(server: Server) -> dict[str, Any]:
    return {"service_host": "127.0.0.1", "httpPort": server.http_port, "type": "REST"}


def predictor(root: Node, endpoints: dict[str, Server], **about: Any) -> dict[str, Any]:
    """A predictor of a manifest in which the named nodes have endpoints."""
    (made,) = seldon_deployment("sum", root, "pocket", "image")["spec"]["predictors"]
    units = [made["graph"]]
    for unit in units:
        units.extend(unit.get("children", []))
        if unit["name"] in endpoints:
            unit["endpoint"] = endpoint(endpoints[unit["name"]])
    return {**made, **about}


def manifest(path: Path, *predictors: dict[str, Any]) -> Path:
    document = seldon_deployment("sum", SUM, "pocket", "image")
    document["spec"]["predictors"] = list(predictors)
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(scope="module")
def pods(start: Start) -> dict[str, Server]:
    """A process for each node of the graph."""
    types = {"add": "OUTPUT_TRANSFORMER", "unite": "MODEL", "source": "TRANSFORMER", "double": "MODEL"}
    started = {name: start("--component", name, "--type", type_, wait=False) for name, type_ in types.items()}
    return {name: server.wait() for name, server in started.items()}


def number(answer: httpx.Response) -> int:
    assert answer.status_code == 200, answer.text
    return next(int(one["data"][0]) for one in answer.json()["outputs"] if one["name"] == "number")


def requests_of(server: Server) -> int:
    lines = server.http.get("/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith("imagegraph_requests_total{")]
    return sum(int(float(line.split()[-1])) for line in counted)


def test_a_graph_over_pods_answers_as_in_one_process(
    start: Start, pods: dict[str, Server], tmp_path: Path
) -> None:
    engine = start("--manifest", str(manifest(tmp_path / "m.yaml", predictor(SUM, pods))))
    embedded = start("--graph", "sum")
    over_pods, in_process = (server.infer("/v2/models/sum/infer", number=4) for server in (engine, embedded))
    assert over_pods.json()["outputs"] == in_process.json()["outputs"]
    assert number(over_pods) == 22
    assert all(requests_of(pod) == 1 for pod in pods.values())


def test_a_node_that_fails_is_named_with_its_status(
    start: Start, pods: dict[str, Server], tmp_path: Path
) -> None:
    gone = start("--component", "double")
    gone.process.kill()
    engine = start("--manifest", str(manifest(tmp_path / "m.yaml", predictor(SUM, {**pods, "double": gone}))))
    answer = engine.infer(number=4)
    assert answer.status_code == 503
    assert "node 'double': cannot reach" in answer.json()["error"]


@pytest.mark.parametrize("type_", ["REST", "GRPC"])
def test_an_engine_that_waits_is_ready_when_its_pods_are_and_no_sooner(
    start: Start, tmp_path: Path, type_: str
) -> None:
    pod = start("--component", "later", wait=False)
    later = predictor(Node(name="later"), {})
    port = {"REST": {"httpPort": pod.http_port}, "GRPC": {"grpcPort": pod.grpc_port}}[type_]
    later["graph"]["endpoint"] = {"service_host": "127.0.0.1", "type": type_, **port}
    engine = start("--manifest", str(manifest(tmp_path / "m.yaml", later)), "--wait", "60").wait()
    assert pod.http.get("/v2/health/ready").status_code == 200
    assert engine.infer(number=1).status_code == 200


def test_an_engine_does_not_wait_for_shadows_nor_for_ever(start: Start, tmp_path: Path) -> None:
    gone = start("--component", "double")
    gone.process.kill()
    stable = predictor(Node(name="double"), {}, name="stable", traffic=100)
    canary = predictor(Node(name="double"), {"double": gone}, name="canary", traffic=0)
    shadow = {**canary, "name": "try", "shadow": True}
    alone = {**canary, "traffic": 100}
    started = time.monotonic()
    for others in ([stable, shadow], [stable, canary]):
        start("--manifest", str(manifest(tmp_path / "m.yaml", *others)), "--wait", "300")
    engine = start("--manifest", str(manifest(tmp_path / "n.yaml", alone)), "--wait", "0.5")
    assert time.monotonic() - started < 120
    assert "no pods are ready after 0.5 s" in engine.log.read_text()
    assert engine.infer(number=1).status_code == 503


@pytest.mark.parametrize("type_", ["REST", "GRPC"])
def test_a_predictor_whose_pods_are_gone_is_asked_no_more_until_they_are_back(
    start: Start, tmp_path: Path, type_: str
) -> None:
    default, canary = (start("--component", "double", wait=False) for _ in range(2))
    made = []
    for name, pod in (("default", default.wait()), ("canary", canary.wait())):
        port = {"REST": {"httpPort": pod.http_port}, "GRPC": {"grpcPort": pod.grpc_port}}[type_]
        one = predictor(Node(name="double"), {}, name=name, traffic=50)
        one["graph"]["endpoint"] = {"service_host": "127.0.0.1", "type": type_, **port}
        made.append(one)
    engine = start("--manifest", str(manifest(tmp_path / "m.yaml", *made)), "--wait", "60")

    def up(predictor: str) -> bool:
        label = f'predictor="{predictor}"'
        page = engine.http.get("/metrics").text
        [value] = [
            one.split()[-1]
            for one in page.splitlines()
            if one.startswith("imagegraph_predictor_up{") and label in one
        ]
        return float(value) == 1

    def answers() -> Counter[int]:
        headers = [{"X-Request-Id": f"request-{index}"} for index in range(24)]
        return Counter(
            engine.http.post("/v2/models/any/infer", json=request(number=1), headers=one).status_code
            for one in headers
        )

    def wait_until(wanted: bool) -> None:
        end = time.monotonic() + 60
        while up("canary") != wanted:
            assert time.monotonic() < end, engine.log.read_text()
            time.sleep(0.05)

    wait_until(True)
    assert up("default")
    canary.process.kill()
    canary.process.wait()
    wait_until(False)
    assert answers() == {200: 24}
    facts = engine.http.get("/v2/health/ready")
    assert facts.status_code == 200
    assert facts.json()["unavailable"] == {"canary": "no pod is ready of double"}
    assert "'canary' is down, others get its requests: no pod is ready of double" in engine.log.read_text()
    pinned = engine.http.post(
        "/v2/models/any/infer", json=request(number=1), headers={"X-Predictor": "canary"}
    )
    assert pinned.status_code == 503, "who wants the canary is told of it"
    ports = ["--http-port", str(canary.http_port), "--grpc-port", str(canary.grpc_port)]
    again = start("--component", "double", *ports, wait=False)
    wait_until(True)
    assert "unavailable" not in engine.http.get("/v2/health/ready").json()
    assert answers() == {200: 24}
    again.http.base_url = canary.http.base_url
    assert 0 < requests_of(again) < 24


def test_traffic_is_split_by_request_id_can_be_pinned_and_copied_to_a_shadow(
    start: Start, pods: dict[str, Server], tmp_path: Path
) -> None:
    shadow = start("--component", "faulty")
    stable = predictor(Node(name="double"), {}, name="stable", traffic=80)
    canary = predictor(Node(name="add"), {}, name="canary", traffic=20)
    faulty = predictor(Node(name="faulty"), {"faulty": shadow}, name="try", traffic=100, shadow=True)
    engine = start("--manifest", str(manifest(tmp_path / "m.yaml", stable, canary, faulty)))

    def side(request_id: str, **headers: str) -> str:
        answer = engine.http.post(
            "/v2/models/m/infer",
            json=request(number=1),
            headers={"X-Request-Id": request_id, **headers},
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["outputs"][0]["name"])

    sides = Counter(side(f"request-{index}") for index in range(300))
    assert sides["doubled"] + sides["number"] == 300
    assert 30 <= sides["number"] <= 90
    assert {side("request-1") for _ in range(5)} == {side("request-1")}
    assert side("request-1", **{"X-Predictor": "canary"}) == "number"
    assert side("request-1", **{"X-Predictor": "stable"}) == "doubled"
    unknown = engine.http.post("/v2/models/m/infer", json=request(number=1), headers={"X-Predictor": "x"})
    assert (unknown.status_code, "unknown predictor 'x'" in unknown.text) == (404, True)
    assert requests_of(shadow) > 100, "the shadow got copies, and its failures harmed nobody"
