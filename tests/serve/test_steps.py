"""Steps of progress from pods of their own, through the engine, to whoever watches."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from imagegraph.client import Answer, Client, Step
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.spec.graph import Node
from imagegraph.wire import progress_frames, v2_grpc, v2_json
from imagegraph.wire.grpc_messages import stubs
from tests.serve.conftest import Server, outputs, request
from tests.serve.test_manifest import manifest, predictor
from tests.serve.test_pods import grpc_predictor, lines
from tests.serve.test_streaming import EVENTS, INFER, watch

Start = Callable[..., Server]
STEPS = {"X-Progress": "true"}
LINE = Node.model_validate(
    {"name": "paint", "entry": "painting", "type": "TRANSFORMER", "children": [{"name": "everything"}]}
)


@pytest.fixture(scope="module")
def pods(start: Start) -> dict[str, Server]:
    paint = start("--component", "painting", "--name", "paint", "--type", "TRANSFORMER", wait=False)
    return {"paint": paint, "everything": start("--component", "everything")} if paint.wait() else {}


@pytest.fixture(scope="module", params=["REST", "GRPC"])
def engine(
    request: pytest.FixtureRequest, start: Start, pods: dict[str, Server], tmp_path_factory: Any
) -> Server:
    make = predictor if request.param == "REST" else grpc_predictor
    path = tmp_path_factory.mktemp("manifest") / "m.yaml"
    return start("--manifest", str(manifest(path, make(LINE, pods))))


@pytest.fixture(scope="module")
def embedded(start: Start, tmp_path_factory: Any) -> Server:
    path = tmp_path_factory.mktemp("manifest") / "m.yaml"
    return start("--manifest", str(manifest(path, predictor(LINE, {}))))


def told(happened: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, Any, Any]]:
    """What stands in the events, without times and without how many steps a slow watcher missed."""
    seen = [(kind, facts.get("node"), facts.get("total")) for kind, facts in happened]
    return list(dict.fromkeys(seen))


def test_an_engine_tells_of_steps_in_pods_as_of_its_own(engine: Server, embedded: Server) -> None:
    body = request(steps=5, number=4)
    over_pods, in_process = (watch(server, body) for server in (engine, embedded))
    assert told(over_pods) == told(in_process)
    assert told(over_pods)[:3] == [
        ("started", "paint", None),
        ("progress", "paint", 5),
        ("finished", "paint", None),
    ]
    done = [facts["done"] for kind, facts in over_pods if kind == "progress"]
    assert done == sorted(done)
    assert done[-1] == 4
    assert over_pods[-1][1]["outputs"] == in_process[-1][1]["outputs"]


def test_a_preview_is_fetched_from_the_engine(engine: Server) -> None:
    body = {**request(steps=3, grey=7), "parameters": {"previews": True}}
    facts = next(facts for kind, facts in watch(engine, body) if kind == "progress")
    (reference,) = facts["preview"]["references"]
    picture = engine.http.get(reference["href"])
    assert Image(picture.content).rgb().getpixel((0, 0)) == (7, 7, 7)


def test_the_client_watches_a_graph_of_pods(engine: Server) -> None:
    with Client(f"http://127.0.0.1:{engine.http_port}") as client:
        *before, answer = client.stream("m", steps=3)
        assert isinstance(answer, Answer)
        assert {one.node for one in before if isinstance(one, Step)} == {"paint", "everything"}


def test_no_parameter_of_a_request_makes_a_step_of_its_answer(engine: Server) -> None:
    marked = {**request(steps=2), "parameters": {"event": "progress"}}
    assert watch(engine, marked)[-1][0] == "answer"


def test_an_answer_behind_steps_is_binary_as_ever(pods: dict[str, Server]) -> None:
    body, head = v2_json.encode(v2_json.decode(json.dumps(request(steps=2, grey=9)).encode()), "inputs")
    headers = {**STEPS, v2_json.HEADER_LENGTH: str(head)}
    answer = pods["paint"].http.post(INFER, content=body, headers=headers)
    assert answer.headers["content-type"] == progress_frames.FRAMES
    rest, messages = answer.content, []
    while rest:
        length, size = progress_frames.LENGTHS.unpack(rest[: progress_frames.LENGTHS.size])
        frame, rest = rest[progress_frames.LENGTHS.size :][:size], rest[progress_frames.LENGTHS.size + size :]
        messages.append(v2_json.decode(frame, length))
    assert [one.parameters.get("event") for one in messages[:-1]] == ["progress"] * (len(messages) - 1)
    (picture,) = messages[-1].values["image"].data
    assert picture.startswith(b"\x89PNG")
    assert picture in answer.content


def test_a_pod_without_steps_answers_as_ever(pods: dict[str, Server]) -> None:
    asked = [pods["everything"].http.post(INFER, json=request(number=1), headers=one) for one in ({}, STEPS)]
    assert asked[0].json()["outputs"] == asked[1].json()["outputs"]
    assert asked[1].headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("values", "headers", "status", "words"),
    [
        ({"seconds": -1.0}, {}, 500, "node 'paint': ValueError: sleep length must be non-negative"),
        ({"steps": 1000}, {"X-Request-Timeout": "0.5"}, 504, ""),
    ],
    ids=["behind a step", "out of time"],
)
def test_an_error_behind_steps_keeps_its_status(
    engine: Server, values: dict[str, Any], headers: dict[str, str], status: int, words: str
) -> None:
    *before, (kind, facts) = watch(engine, request(**values), **headers)
    assert (kind, facts["status"]) == ("error", status)
    assert facts["error"].startswith(words)
    assert facts["error"].count("node") == 1
    assert "paint" in facts["error"]
    assert before[-1][0] == "failed"


def test_what_is_known_to_fail_is_refused_with_a_status_of_its_own(engine: Server) -> None:
    refused = engine.http.post(INFER, json=request(grey="dark"), headers=EVENTS)
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("node 'paint': grey: expected a valid integer")


def test_a_watcher_that_leaves_stops_the_work_in_the_pod(engine: Server, pods: dict[str, Server]) -> None:
    asked = {**EVENTS, "X-Request-Id": f"left-{engine.http_port}"}
    with engine.http.stream("POST", INFER, json=request(steps=1000), headers=asked) as answer:
        for text in answer.iter_text():
            if "progress" in text:
                break
    end = time.monotonic() + 30
    while time.monotonic() < end:
        ended = [one for one in lines(pods["paint"]) if one.get("request_id") == asked["X-Request-Id"]]
        if ended:
            break
        time.sleep(0.05)
    assert ended[0]["status"] == 499
    assert outputs(engine.infer(INFER, steps=1))


def test_what_is_watched_ends_well_in_the_log_of_the_pod(engine: Server, pods: dict[str, Server]) -> None:
    for index in range(5):
        watch(engine, request(steps=2, seconds=0.0), **{"X-Request-Id": f"{engine.http_port}-{index}"})
    seen = [
        one for one in lines(pods["paint"]) if str(one.get("request_id")).startswith(str(engine.http_port))
    ]
    assert [one["status"] for one in seen] == [200] * 5


class Foreign(stubs.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """A node of another make: it knows V2, and no streams."""

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.parameters["refuse"].bool_param:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "not this")
        return v2_grpc.encode_answer(Message({"image": b"\xff\xd8\xff"}, request.id, "foreign"))


def test_a_node_of_another_make_answers_as_ever(start: Start, tmp_path: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    stubs.add_GRPCInferenceServiceServicer_to_server(Foreign(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    made = predictor(Node(name="painting"), {})
    made["graph"]["endpoint"] = {"service_host": "127.0.0.1", "service_port": port, "type": "GRPC"}
    engine = start("--manifest", str(manifest(tmp_path / "m.yaml", made)))
    assert [kind for kind, _ in watch(engine, request())] == ["started", "finished", "answer"]
    kind, facts = watch(engine, {**request(), "parameters": {"refuse": True}})[-1]
    assert (kind, facts["status"], facts["error"]) == ("error", 501, "node 'painting': not this")
    server.stop(None)


@pytest.mark.parametrize("make", [predictor, grpc_predictor], ids=["REST", "GRPC"])
def test_a_pod_that_dies_behind_a_step_is_unavailable(start: Start, tmp_path: Path, make: Any) -> None:
    pod = start("--component", "painting", "--name", "paint")
    root = Node(name="paint", entry="painting")
    engine = start("--manifest", str(manifest(tmp_path / "m.yaml", make(root, {"paint": pod}))))
    killer = threading.Timer(1.0, pod.process.kill)
    killer.start()
    kind, facts = watch(engine, request(steps=1000))[-1]
    killer.join()
    assert (kind, facts["status"]) == ("error", 503)
    assert facts["error"].startswith("node 'paint': ")


def test_unwatched_requests_ask_for_no_steps(engine: Server, pods: dict[str, Server]) -> None:
    answer: httpx.Response = engine.http.post(INFER, json=request(steps=2), headers={"X-Request-Id": "plain"})
    assert outputs(answer)
    line = next(one for one in lines(pods["paint"])[::-1] if one.get("request_id") == "plain")
    assert line["route"] in ("POST /v2/models/{model}/infer", "ModelInfer")
