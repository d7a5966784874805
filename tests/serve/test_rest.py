"""V2, V1 and Vertex AI over HTTP, on real processes."""

import base64
import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.spec.catalogue import ROOT
from imagegraph.wire import v2_json
from tests.serve.conftest import Server, outputs, request

PHOTO = (ROOT / "pocket" / "examples" / "photo.jpg").read_bytes()
Start = Callable[..., Server]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/double/infer",
        "/v2/models/whatever/infer",
        "/v2/models/double/versions/1/infer",
        "/v2/models/infer",
    ],
)
def test_any_name_and_version_is_answered(double: Server, path: str) -> None:
    assert outputs(double.infer(path, number=21)) == {"doubled": [42]}


def test_metadata_tells_names_datatypes_and_shapes(double: Server) -> None:
    facts = double.http.get("/v2/models/double").json()
    for kind, name in (("inputs", "number"), ("outputs", "doubled")):
        (tensor,) = facts[kind]
        assert tensor.pop("parameters")["schema"] == {"type": "integer"}
        assert tensor == {"name": name, "datatype": "INT64", "shape": [1]}
    assert "binary_tensor_data" in double.http.get("/v2").json()["extensions"]
    assert double.http.post("/v2/repository/index").json()[0]["state"] == "READY"


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v2/models/m/infer", b"", 400, "body: expected JSON"),
        ("/v2/models/m/infer", b"[1]", 400, "expected a V2 response"),
        ("/v2/models/m/infer", b'{"inputs": 5}', 400, "inputs: expected a list of tensors, got 5"),
        ("/v2/models/m/infer", json.dumps(request(number="x")), 400, "number: expected a valid integer"),
        ("/v2/models/m/infer", json.dumps({"inputs": []}), 400, "number: expected a value"),
        ("/v2/models/m/aggregate", json.dumps(request(number=1)), 501, "is no Combiner"),
        ("/v2/models/m/route", json.dumps(request(number=1)), 501, "is no Router"),
        ("/v1/models/m:predict", b"{}", 400, "instances: expected one or more"),
    ],
)
def test_bad_requests_are_refused_clearly(
    double: Server, path: str, body: bytes, status: int, message: str
) -> None:
    answer = double.http.post(path, content=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_wrong_methods_and_unknown_paths_are_told(double: Server) -> None:
    answer = double.http.get("/v2/models/double/infer")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert double.http.get("/nothing/here").status_code == 404


def test_pictures_travel_as_base64_or_as_they_are(identity: Server) -> None:
    body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1],
                        "data": [base64.b64encode(PHOTO).decode()]}]}  # fmt: skip
    answer = identity.http.post("/v2/models/m/infer", json=body)
    assert base64.b64decode(outputs(answer)["image"][0]) == PHOTO
    raw, length = v2_json.encode(Message({"image": Image(PHOTO)}))
    answer = identity.http.post(
        "/v2/models/m/infer", content=raw, headers={v2_json.HEADER_LENGTH: str(length)}
    )
    answered = v2_json.decode(answer.content, int(answer.headers[v2_json.HEADER_LENGTH]))
    assert answered.values["image"].data[0] == PHOTO


def test_requested_outputs_alone_come_back(double: Server) -> None:
    body = {**request(number=2), "outputs": [{"name": "doubled", "parameters": {"binary_data": True}}]}
    answer = double.http.post("/v2/models/m/infer", json=body)
    assert v2_json.HEADER_LENGTH in answer.headers
    body["outputs"] = [{"name": "tripled"}]
    refused = double.http.post("/v2/models/m/infer", json=body)
    assert (refused.status_code, "unknown output 'tripled'" in refused.text) == (404, True)


def test_bodies_are_limited(double: Server) -> None:
    large = double.http.post("/v2/models/m/infer", content=b" " * (64 * 2**20 + 1))
    assert (large.status_code, "body: expected at most" in large.text) == (413, True)
    assert double.http.request("GET", "/v2", content=b" " * 70_000).status_code == 413


def test_what_other_nodes_have_drawn_is_not_refused_after_all_their_work(
    start: Callable[..., Server],
) -> None:
    node = start("--component", "double", "--type", "OUTPUT_TRANSFORMER", "--max-body-mib", "65")
    behind = start("--component", "double", "--type", "OUTPUT_TRANSFORMER")
    for server, mib, status in ((node, 64, 400), (node, 65, 413), (behind, 65, 400)):
        answer = server.http.post("/v2/models/m/infer", content=b" " * (mib * 2**20 + 1))
        assert answer.status_code == status, answer.text


def test_the_request_id_is_kept_or_made(double: Server) -> None:
    body = request(number=1)
    for header in ("X-Request-Id", "Seldon-Puid"):
        answer = double.http.post("/v2/models/m/infer", json=body, headers={header: "abc-1"})
        assert answer.headers["x-request-id"] == "abc-1"
    assert len(double.http.post("/v2/models/m/infer", json=body).headers["x-request-id"]) == 32


def test_v1_answers_every_instance(double: Server) -> None:
    body = {"instances": [{"number": 1}, {"number": 2}]}
    answer = double.http.post("/v1/models/m:predict", json=body)
    assert answer.json() == {"predictions": [{"doubled": 2}, {"doubled": 4}]}


def test_vertex_gets_its_own_routes_and_limit(start: Start) -> None:
    server = start("--component", "double", AIP_HEALTH_ROUTE="/alive", AIP_PREDICT_ROUTE="/guess")
    assert server.http.get("/alive").status_code == 200
    answer = server.http.post("/guess", json={"instances": [{}], "parameters": {"number": 4}})
    assert answer.json() == {"predictions": [{"doubled": 8}]}
    large = server.http.post("/guess", content=b" " * (10 * 2**20 + 1))
    assert (large.status_code, "at most" in large.text) == (413, True)


def test_a_graph_answers_like_a_node_and_knows_its_inputs(start: Start) -> None:
    server = start("--graph", "sum")
    assert outputs(server.infer(number=4))["number"] == [22]
    refused = server.infer(numbr=4)
    assert (refused.status_code, "Did you mean 'number'?" in refused.text) == (404, True)


def test_a_combiner_takes_the_shapes_that_graphs_send(start: Start) -> None:
    server = start("--component", "unite")
    answers = [{"model_name": name, "outputs": request(**{name: 1})["inputs"]} for name in ("a", "b")]
    by_list = server.http.post("/v2/models/m/aggregate", json=answers)
    by_step = server.http.post("/v2/models/m/infer", json={"s": answers[0], "t": answers[1]})
    assert outputs(by_list) == outputs(by_step) == {"a": [1], "b": [1]}


def test_a_router_answers_a_list_of_one_index(start: Start) -> None:
    server = start("--component", "by-size")
    assert server.http.post("/v2/models/m/route", json=request(number=50)).text == "[1]"
    answered = {"outputs": request(number=5)["inputs"]}
    assert server.http.post("/v2/models/m/route", json=answered).text == "[0]"
    refused = server.infer(number=5)
    assert (refused.status_code, "cannot infer" in refused.text) == (501, True)


def test_a_transformer_passes_on_what_it_does_not_read(start: Start) -> None:
    server = start("--component", "double", "--type", "TRANSFORMER")
    assert outputs(server.infer(number=1, prompt="red")) == {"number": [1], "prompt": ["red"], "doubled": [2]}


def test_readiness_tells_the_truth_while_weights_load(start: Start, tmp_path: Path) -> None:
    server = start("--component", "later", wait=False, LATER=str(tmp_path / "go"))
    end = time.monotonic() + 60
    refused = None
    while refused is None and time.monotonic() < end:
        try:
            refused = server.infer(number=1)
        except httpx.TransportError:
            time.sleep(0.05)
    assert refused is not None
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    for path in ("/v2/health/ready", "/v2/models/later/ready", "/v1/models/later"):
        assert server.http.get(path).status_code == 503
    assert server.http.get("/v2/health/live").status_code == 200
    (tmp_path / "go").touch()
    assert outputs(server.wait().infer(number=1)) == {"slept": [1.0]}


def test_weights_that_cannot_be_loaded_end_the_process(start: Start) -> None:
    server = start("--component", "broken", wait=False)
    assert server.process.wait(timeout=60) == 1
    assert "no weights; pull them" in server.log.read_text()


def test_a_deadline_ends_the_work(asleep: Server) -> None:
    start = time.monotonic()
    answer = asleep.http.post(
        "/v2/models/m/infer", json=request(seconds=20.0), headers={"X-Request-Timeout": "0.3"}
    )
    assert answer.status_code == 504
    assert time.monotonic() - start < 5
    assert outputs(asleep.infer(seconds=0.01)) == {"slept": [0.01]}
    wrong = asleep.http.post("/v2/models/m/infer", json=request(), headers={"X-Request-Timeout": "soon"})
    assert wrong.status_code == 400


def test_a_client_that_leaves_stops_its_work(asleep: Server) -> None:
    with pytest.raises(httpx.ReadTimeout):
        asleep.http.post("/v2/models/m/infer", json=request(seconds=30.0), timeout=0.5)
    start = time.monotonic()
    assert outputs(asleep.infer(seconds=0.01)) == {"slept": [0.01]}
    assert time.monotonic() - start < 5


def test_a_full_queue_refuses_and_says_when_to_come_again(asleep: Server) -> None:
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(asleep.infer(seconds=0.5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = sorted(answer.status_code for answer in answers)
    assert codes.count(200) >= 2
    assert codes.count(503) >= 4
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert "the queue is full" in refused.json()["error"]


def test_the_queue_depth_is_true_at_every_moment_and_who_leaves_is_out_of_it(asleep: Server) -> None:
    def wait_for(waiting: int, under_way: int) -> None:
        labels = '{model_name="asleep",role="node"}'
        expected = {f"imagegraph_queue_depth{labels} {waiting:.1f}"}
        expected.add(f"imagegraph_in_flight{labels} {under_way:.1f}")
        end = time.monotonic() + 30
        while not expected <= {*(page := asleep.http.get("/metrics").text).splitlines()}:
            assert time.monotonic() < end, page
            time.sleep(0.02)

    def connect() -> socket.socket:
        """Sends a request that takes long; who closes the connection leaves."""
        body = json.dumps(request(seconds=20.0)).encode()
        head = f"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        made = socket.create_connection(("127.0.0.1", asleep.http_port))
        made.sendall(head.encode() + body)
        return made

    wait_for(0, 0)
    running = connect()
    wait_for(0, 1)
    for _ in range(3):  # two wait, which is all that may
        waiting = [connect(), connect()]
        wait_for(2, 3)
        for one in waiting:
            one.close()
        wait_for(0, 1)
    running.close()
    assert outputs(asleep.infer(seconds=0.01)) == {"slept": [0.01]}


def test_sigterm_finishes_what_is_under_way(start: Start) -> None:
    server = start("--component", "asleep", "--drain-delay", "1")
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(server.infer(seconds=3.0)))
    thread.start()
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert server.http.get("/v2/health/ready").status_code == 503
    assert server.http.get("/v2/health/live").status_code == 200
    thread.join()
    assert outputs(answers[0]) == {"slept": [3.0]}
    assert server.process.wait(timeout=10) == 0


def test_metrics_count_requests_under_our_own_name(double: Server) -> None:
    double.infer("/v2/models/evil-name/infer", number=1)
    for path in ("/metrics", "/prometheus"):
        page = double.http.get(path).text
        labels = 'code="200",model_name="double",predictor="default",protocol="rest",role="node"'
        assert f"imagegraph_requests_total{{{labels}}}" in page
        assert "evil-name" not in page


def test_no_answer_is_compressed(double: Server) -> None:
    answer = double.http.post(
        "/v2/models/m/infer", json=request(number=1), headers={"Accept-Encoding": "gzip"}
    )
    assert "content-encoding" not in answer.headers


def test_equal_requests_are_answered_from_the_cache(start: Start, tmp_path: Path) -> None:
    server = start("--component", "asleep", "--cache-mib", "10")
    for expected in (None, "asleep"):
        answer = server.infer(seconds=0.2).json()
        assert answer.get("parameters", {}).get("cache_hits") == expected


def test_equal_requests_at_once_have_each_its_own_deadline(start: Start) -> None:
    server = start("--component", "asleep", "--cache-mib", "10")

    def ask(seconds: str) -> httpx.Response:
        headers = {"X-Request-Timeout": seconds}
        url = f"http://127.0.0.1:{server.http_port}/v2/models/m/infer"
        return httpx.post(url, json=request(seconds=4), headers=headers, timeout=30)

    with ThreadPoolExecutor() as threads:
        first = threads.submit(ask, "2.5")
        time.sleep(0.5)
        second = threads.submit(ask, "60")
        assert first.result().status_code == 504
        assert outputs(second.result()) == {"slept": [4]}
    assert "cache_hits" in second.result().json()["parameters"], "it waited for what the first had begun"
