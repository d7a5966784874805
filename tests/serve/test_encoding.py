"""Pictures that components drew are encoded off the event loop, whichever way they leave the process."""

from collections.abc import Callable

import grpc
import pytest

from imagegraph.wire.grpc_messages import pb, stubs
from tests.serve.conftest import Server, request


@pytest.fixture(scope="module", params=[(), ("--cache-mib", "16")], ids=["computed", "cached"])
def gallery(start: Callable[..., Server], request: pytest.FixtureRequest) -> Server:
    return start("--component", "gallery", *request.param)


@pytest.mark.parametrize("binary", [False, True])
def test_rest_answers_pictures_without_holding_up_the_loop(gallery: Server, binary: bool) -> None:
    body = {**request(grey=int(binary)), "parameters": {"binary_data_output": binary}}
    answer = gallery.http.post("/v2/models/m/infer", json=body)
    assert answer.status_code == 200, answer.text
    assert ("Inference-Header-Content-Length" in answer.headers) == binary


def test_v1_and_events_answer_pictures_without_holding_up_the_loop(gallery: Server) -> None:
    answer = gallery.http.post("/v1/models/m:predict", json={"instances": [{"grey": 2}, {"grey": 3}]})
    assert answer.status_code == 200, answer.text
    body = {**request(grey=4), "parameters": {"previews": True}}
    told = gallery.http.post("/v2/models/m/infer", json=body, headers={"Accept": "text/event-stream"})
    assert "event: answer" in told.text, told.text


def test_steps_for_an_engine_come_without_holding_up_the_loop(gallery: Server) -> None:
    body = {**request(grey=5), "parameters": {"previews": True}}
    told = gallery.http.post("/v2/models/m/infer", json=body, headers={"X-Progress": "true"})
    assert told.status_code == 200
    assert told.content.count(b"PNG") == 5, "a preview and four pictures"


def test_grpc_answers_pictures_without_holding_up_the_loop(gallery: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{gallery.grpc_port}") as channel:
        answer = stubs.GRPCInferenceServiceStub(channel).ModelInfer(pb.ModelInferRequest(), timeout=30)
    assert [one.name for one in answer.outputs] == ["pictures", "cover"]
