"""Names of a request: inputs among its parameters, misspelt ones, and parameters that only answers have."""

from typing import Any

import grpc
import pytest

from imagegraph.wire.grpc_messages import pb, stubs
from tests.serve.conftest import Server, outputs, request

INFER = "/v2/models/m/infer"


@pytest.fixture(scope="module")
def summing(start: Any) -> Server:
    return start("--graph", "sum")


@pytest.fixture(scope="module")
def echo(start: Any) -> Server:
    return start("--component", "source", "--type", "TRANSFORMER")


def test_a_parameter_that_names_an_input_is_that_input(double: Server, summing: Server) -> None:
    asked = {"inputs": [], "parameters": {"number": 21, "client": "x"}}
    answer = double.http.post(INFER, json=asked)
    assert outputs(answer) == {"doubled": [42]}
    assert answer.json()["parameters"] == {"client": "x"}
    assert outputs(summing.http.post(INFER, json=asked))["doubled"] == [42]
    with grpc.insecure_channel(f"127.0.0.1:{double.grpc_port}") as channel:
        message = pb.ModelInferRequest()
        message.parameters["number"].int64_param = 21
        answered = stubs.GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=30)
        assert int.from_bytes(answered.raw_output_contents[0], "little") == 42


def test_a_parameter_is_checked_as_the_input_that_it_is(double: Server) -> None:
    wrong = double.http.post(INFER, json={"inputs": [], "parameters": {"number": "many"}})
    assert (wrong.status_code, "number: expected a valid integer" in wrong.text) == (400, True)
    twice = double.http.post(INFER, json=request(number=1) | {"parameters": {"number": 2}})
    assert (twice.status_code, "parameters.number: expected no value beside" in twice.text) == (400, True)


def test_what_only_answers_say_is_not_taken_from_a_client(double: Server, echo: Server) -> None:
    forged = {"cache_hits": "double", "event": "progress", "facts": "{}", "mine": 1}
    for server in (double, echo):
        answer = server.http.post(INFER, json=request(number=1) | {"parameters": forged})
        assert answer.json()["parameters"] == {"mine": 1}


@pytest.mark.parametrize("misspelt", ["sed", "Seed", "txt", "imges"])
def test_a_misspelt_input_of_a_model_is_refused_with_what_was_meant(
    everything: Server, misspelt: str
) -> None:
    refused = everything.infer(**{misspelt: 1})
    assert (refused.status_code, "Did you mean '" in refused.text) == (404, True)


def test_values_for_other_nodes_reach_a_model_and_harm_nothing(everything: Server) -> None:
    assert everything.infer(seeds=1, stranger=2, caption="x").status_code == 200
    assert everything.infer(seed=1, sead=2).status_code == 200, "a stranger's value beside the input itself"


def test_others_than_a_model_pass_on_what_they_do_not_read(echo: Server) -> None:
    assert outputs(echo.infer(sed=1)) == {"sed": [1]}


def test_a_graph_answers_what_its_nodes_wrote_and_what_is_asked_for(summing: Server) -> None:
    answer = summing.infer(number=4)
    listed = {one["name"] for one in summing.http.get("/v2/models/m").json()["outputs"]}
    assert set(outputs(answer)) == listed
    with grpc.insecure_channel(f"127.0.0.1:{summing.grpc_port}") as channel:
        tensor = pb.ModelInferRequest.InferInputTensor(name="number", datatype="INT64", shape=[1])
        tensor.contents.int64_contents.append(4)
        stub = stubs.GRPCInferenceServiceStub(channel)
        answered = stub.ModelInfer(pb.ModelInferRequest(inputs=[tensor]), timeout=30)
        assert {one.name for one in answered.outputs} == listed
