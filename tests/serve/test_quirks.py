"""What Seldon's executor and KServe's SDK and router do to a node, each on a real node process.

| what they do | test |
|---|---|
| executor: the client's model name, or the node's own, for every node | test_rest: any_name_and_version |
| executor: children's answers as a list; KServe: an Ensemble's by step | test_rest: a_combiner_takes |
| KServe: steps without names have numbers; an answer goes to a MODEL, too | an_ensemble_without_names, … |
| KServe: a Soft step's error body is merged in silently | a_failed_step_is_named |
| executor: ROUTER reads a request or an answer, must say a list of one int | test_rest: a_router_answers |
| executor: renames outputs to inputs, leaves all other fields | what_an_answer_leaves_behind |
| executor: a body with both inputs and outputs goes on as it is | of_inputs_and_outputs_… |
| KServe: `$response` is the raw answer of the step before | what_an_answer_leaves_behind |
| executor: sorts keys, escapes `<>&` | escaped_and_sorted_json |
| executor: numbers are doubles | whole_numbers_written_as_floats, integers_beyond_doubles |
| executor: forwards all request headers, wants no gzip | forwarded_headers_change_nothing |
| executor: reads JSON objects only, status 200 only | every_answer_is_a_json_object |
| executor over gRPC: a chain loses raw contents | grpc_tensors_without_contents |
| KServe's client calls ServerLive, ServerReady, ServerMetadata | grpc_server_calls |
| SDK: a request without Content-Type is taken for bytes | a_body_without_content_type |
| SDK: `versions/N` is 501 | test_rest: any_name_and_version; a_version_is_known_to_every_call |
| SDK: `/v2/health/ready` is always 200 | test_rest: readiness_tells_the_truth |
| SDK: gRPC on a model not ready loads it again | grpc_while_weights_load |
| SDK: wrong gRPC codes of not ready, not implemented | grpc_while_weights_load, what_grpc_does_not_serve |
| SDK: 422 sends the request back, twice | a_wrong_request_is_not_sent_back |
| probes of all kinds | probes_may_ask_by_head |
"""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from imagegraph.spec.catalogue import ROOT
from imagegraph.wire.grpc_messages import pb, stubs
from tests.serve.conftest import Server, outputs, request

Start = Callable[..., Server]
INFER = "/v2/models/m/infer"


@pytest.fixture(scope="module")
def echo(start: Start) -> Server:
    """A TRANSFORMER that answers what it got."""
    return start("--component", "source", "--type", "TRANSFORMER")


@pytest.fixture(scope="module")
def line(double: Server) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{double.grpc_port}") as channel:
        yield stubs.GRPCInferenceServiceStub(channel)


def number(value: Any, **more: Any) -> dict[str, Any]:
    return {"name": "number", "datatype": "INT64", "shape": [1], "data": [value], **more}


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_what_an_answer_leaves_behind_harms_no_next_node(double: Server, kind: str) -> None:
    before = {
        "id": "7",
        "model_name": "the-node-before",
        "model_version": None,
        "parameters": None,
        kind: [
            number(21, parameters=None),
            {
                "name": "more",
                "datatype": "FP32",
                "shape": [0],
                "data": [],
                "parameters": {"content_type": "np"},
            },
        ],
    }
    answer = double.http.post(INFER, json=before)
    assert outputs(answer) == {"doubled": [42]}
    assert answer.json()["id"] == "7"


def test_of_inputs_and_outputs_with_values_the_outputs_count(double: Server) -> None:
    both = {"inputs": [number(1)], "outputs": [number(21)]}
    assert outputs(double.http.post(INFER, json=both)) == {"doubled": [42]}


def test_the_answer_of_one_node_is_the_request_of_the_next(double: Server, echo: Server) -> None:
    answer = echo.infer(number=21, prompt="a <b> & c").content
    assert outputs(double.http.post(INFER, content=answer)) == {"doubled": [42]}
    again = outputs(echo.http.post(INFER, content=answer))
    assert again == {"number": [21], "prompt": ["a <b> & c"]}


def test_an_ensemble_without_names_reaches_a_model(double: Server) -> None:
    steps = {"0": {"outputs": [number(21)]}, "1": {"outputs": [{**number(1), "name": "other"}]}}
    assert outputs(double.http.post(INFER, json=steps)) == {"doubled": [42]}


def test_two_values_of_one_name_name_both_steps(double: Server) -> None:
    steps = {"left": {"outputs": [number(1)]}, "right": {"outputs": [number(2)]}}
    refused = double.http.post(INFER, json=steps)
    assert refused.status_code == 400
    assert "'left'" in refused.text
    assert "'right'" in refused.text


@pytest.mark.parametrize("failed", [{"error": "no memory"}, "no memory", None])
def test_a_failed_step_is_named(double: Server, failed: Any) -> None:
    refused = double.http.post(INFER, json={"good": {"outputs": [number(1)]}, "bad": failed})
    assert (refused.status_code, "body[bad]: expected a V2 response" in refused.text) == (400, True)


def test_escaped_and_sorted_json_is_read_as_it_was_meant(echo: Server) -> None:
    body = (
        '{"inputs":[{"data":["\\u003ca \\u0026 b\\u003e"],"datatype":"BYTES","name":"prompt","shape":[1]}]}'
    )
    assert outputs(echo.http.post(INFER, content=body)) == {"prompt": ["<a & b>"]}


@pytest.mark.parametrize("written", ["7.0", "7", "70e-1", "0.7e+1"])
def test_whole_numbers_written_as_floats_are_integers(double: Server, written: str) -> None:
    body = json.dumps({"inputs": [number(0)]}).replace("[0]", f"[{written}]")
    assert outputs(double.http.post(INFER, content=body)) == {"doubled": [14]}


def test_large_numbers_are_integers_however_they_are_written(double: Server) -> None:
    body = json.dumps({"inputs": [number(0)]}).replace("[0]", "[1e+06]")
    assert outputs(double.http.post(INFER, content=body)) == {"doubled": [2_000_000]}
    refused = double.http.post(INFER, content=body.replace("1e+06", "7.5"))
    assert (refused.status_code, "values of INT64" in refused.text) == (400, True)


def test_integers_beyond_doubles_are_exact_here_and_refused_where_a_graph_would_change_them(
    echo: Server, everything: Server
) -> None:
    beyond = 2**53 + 1
    assert outputs(echo.infer(number=beyond)) == {"number": [beyond]}
    # Seldon's executor hands 2**53 + 1 on as 2**53: equal seeds would not draw equal pictures.
    refused = everything.infer(seed=beyond)
    assert (refused.status_code, f"less than {2**53}" in refused.text) == (400, True)


def test_forwarded_headers_change_nothing(double: Server) -> None:
    headers = {
        "Accept": "text/html,text/event-stream,*/*;q=0.8",
        "Seldon-Puid": "of-the-executor",
        "Accept-Encoding": "gzip, deflate, br, zstd",
        "Authorization": "Bearer of-the-client",
        "Cookie": "session=1",
        "Content-Type": "application/json; charset=utf-8",
        "If-None-Match": '"x"',
        "Origin": "https://elsewhere.example",
        "Range": "bytes=0-3",
        "TE": "trailers",
        "X-Forwarded-For": "10.0.0.1, 10.0.0.2",
        "X-HTTP-Method-Override": "DELETE",
        "uber-trace-id": "1:2:3:1",
    }
    answer = double.http.post(INFER, json=request(number=21), headers=headers)
    assert outputs(answer) == {"doubled": [42]}
    assert not {"content-encoding", "set-cookie", "transfer-encoding"} & set(answer.headers)


def test_every_answer_is_a_json_object_with_its_length(echo: Server, start: Start) -> None:
    unite = start("--component", "unite")
    answers = [{"outputs": [number(1)]}, {"outputs": [number(1)]}]
    for answer in (
        echo.infer(number=1),
        unite.http.post("/v2/models/m/aggregate", json=answers),
        unite.http.post("/v2/models/aggregate", json=answers),
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert isinstance(answer.json(), dict)


def test_pictures_stay_base64_through_json_hops(start: Start, echo: Server) -> None:
    photo = (ROOT / "pocket" / "examples" / "photo.jpg").read_bytes()
    sent = request(image=base64.b64encode(photo).decode(), prompt="x")
    once = echo.http.post(INFER, json=sent).content
    twice = echo.http.post(INFER, content=once)
    assert base64.b64decode(outputs(twice)["image"][0]) == photo


@pytest.mark.parametrize("type_", [None, "", "text/plain", "application/octet-stream", "application/json"])
def test_a_body_without_content_type_is_read_by_what_it_is(double: Server, type_: str | None) -> None:
    headers = {} if type_ is None else {"Content-Type": type_}
    answer = double.http.post(INFER, content=json.dumps(request(number=21)), headers=headers)
    assert outputs(answer) == {"doubled": [42]}


def test_a_version_is_known_to_every_call(double: Server) -> None:
    (named,) = double.http.get("/v2/models/m").json()["versions"]
    (row,) = double.http.post("/v2/repository/index", json={}).json()
    assert row["version"] == named
    for version in (named, "1"):
        assert double.http.get(f"/v2/models/m/versions/{version}").json()["inputs"][0]["name"] == "number"
        assert double.http.get(f"/v2/models/m/versions/{version}/ready").status_code == 200


def test_probes_may_ask_by_head(double: Server) -> None:
    for path in ("/", "/v2/health/live", "/v2/health/ready", "/v2/models/any/ready"):
        answer = double.http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert double.http.get(path).status_code == 200


def test_a_wrong_request_is_not_sent_back(everything: Server) -> None:
    text = "x" * 3_000_000
    for wrong in (
        request(prompt=text, number=text),
        request(number=-1) | {"parameters": text},
        {"inputs": text},
        {"inputs": [number(1, datatype=text)]},
    ):
        refused = everything.http.post(INFER, json=wrong)
        assert refused.status_code == 400
        assert len(refused.content) < 1000


def code(call: Callable[..., Any], message: Any) -> grpc.StatusCode:
    try:
        call(message, timeout=10)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_grpc_server_calls_are_answered(line: Any) -> None:
    assert line.ServerLive(pb.ServerLiveRequest(), timeout=10).live
    assert line.ServerReady(pb.ServerReadyRequest(), timeout=10).ready
    assert line.ModelReady(pb.ModelReadyRequest(name="any"), timeout=10).ready
    assert line.ServerMetadata(pb.ServerMetadataRequest(), timeout=10).name == "imagegraph"
    facts = line.ModelMetadata(pb.ModelMetadataRequest(name="any"), timeout=10)
    assert [(one.name, one.datatype, list(one.shape)) for one in facts.inputs] == [("number", "INT64", [1])]


@pytest.mark.parametrize("name", ["RepositoryModelLoad", "RepositoryModelUnload"])
def test_what_grpc_does_not_serve_is_said_to_be_unimplemented(line: Any, name: str) -> None:
    message = getattr(pb, f"{name}Request")(model_name="m")
    assert code(getattr(line, name), message) is grpc.StatusCode.UNIMPLEMENTED


def infer_request(**contents: Any) -> Any:
    tensor = pb.ModelInferRequest.InferInputTensor(name="number", datatype="INT64", shape=[1])
    if "contents" in contents:
        tensor.contents.CopyFrom(contents.pop("contents"))
    return pb.ModelInferRequest(model_name="any", inputs=[tensor], **contents)


def test_grpc_contents_may_be_typed_or_raw(line: Any) -> None:
    typed = infer_request(contents=pb.InferTensorContents(int64_contents=[21]))
    raw = infer_request(raw_input_contents=[(21).to_bytes(8, "little")])
    for message in (typed, raw):
        answer = line.ModelInfer(message, timeout=10)
        assert answer.outputs[0].name == "doubled"
        assert int.from_bytes(answer.raw_output_contents[0], "little") == 42


def test_grpc_tensors_without_contents_are_refused_by_name(line: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        line.ModelInfer(infer_request(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "inputs[0]: expected 1 values" in caught.value.details()


def test_grpc_while_weights_load_is_unavailable_and_loads_nothing_again(start: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = start("--component", "gated", wait=False, GATE=str(gate))
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=120)
        line = stubs.GRPCInferenceServiceStub(channel)
        assert line.ServerLive(pb.ServerLiveRequest(), timeout=10).live
        assert not line.ServerReady(pb.ServerReadyRequest(), timeout=10).ready
        assert not line.ModelReady(pb.ModelReadyRequest(name="any"), timeout=10).ready
        call = infer_request(contents=pb.InferTensorContents(int64_contents=[1]))
        # Refused at once: a second load would wait for the gate, too.
        assert code(line.ModelInfer, call) is grpc.StatusCode.UNAVAILABLE
        gate.touch()
        server.wait()
        assert line.ServerReady(pb.ServerReadyRequest(), timeout=10).ready
        assert code(line.ModelInfer, call) is grpc.StatusCode.OK
