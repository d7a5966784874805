"""Hostile requests over gRPC, and thousands of all kinds: nothing of them stays."""

import socket
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegraph.message import DATATYPES
from imagegraph.wire.grpc_messages import SERVICE, StreamResponse, pb
from tests.serve.conftest import Server, most_bytes, resident_bytes
from tests.serve.hostile import ANSWERED, DEADLINE_S, GOOD, PORTS, SIZED, TEXT, ask, examples, post, tensor


@pytest.fixture(scope="module")
def line(everything: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{everything.grpc_port}") as channel:
        yield channel


CONTENTS = st.builds(
    pb.InferTensorContents,
    int64_contents=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
    uint_contents=st.lists(st.integers(0, 2**32 - 1), max_size=3),
    fp32_contents=st.lists(st.floats(width=32), max_size=3),
    fp64_contents=st.lists(st.floats(), max_size=3),
    bool_contents=st.lists(st.booleans(), max_size=3),
    bytes_contents=st.lists(st.binary(max_size=20), max_size=3),
)
GRPC_TENSOR = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.sampled_from(PORTS) | TEXT,
    datatype=st.sampled_from([*DATATYPES, "BYTES"]) | TEXT,
    shape=st.lists(st.integers(0, 3) | st.integers(-(2**63), 2**63 - 1), max_size=4),
    contents=CONTENTS,
)
GRPC_REQUEST = st.builds(
    pb.ModelInferRequest,
    model_name=TEXT,
    id=TEXT,
    inputs=st.lists(GRPC_TENSOR, max_size=2),
    raw_input_contents=st.just([]) | st.lists(st.binary(max_size=40), max_size=3),
)


@examples(400)
@given(message=GRPC_REQUEST)
def test_any_grpc_request_is_answered_or_refused(line: grpc.Channel, message: Any) -> None:
    assert ask(line, message) in ANSWERED


@examples(100)
@given(message=st.binary(max_size=100))
def test_bytes_that_are_no_grpc_message_end_that_call_alone(line: grpc.Channel, message: bytes) -> None:
    assert ask(line, message) in ANSWERED


def packed(count: int) -> bytes:
    """An input with so many numbers of one byte each."""
    contents = pb.InferTensorContents(int64_contents=[0] * count)
    return pb.ModelInferRequest(inputs=[{"name": "number", "contents": contents}]).SerializeToString()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\x2a\x00" * 2**24, "request: expected at most 131072 fields"),
        (b"\x3a\x00" * 2**24, "request: expected at most 131072 fields"),
        (packed(2**24), "request: expected at most 4194304 numbers that are not raw"),
    ],
    ids=["inputs", "raw contents", "numbers"],
)
@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
def test_a_grpc_message_of_many_parts_is_refused_before_they_are_made(
    everything: Server, method: str, body: bytes, words: str
) -> None:
    peak = most_bytes(everything)
    with grpc.insecure_channel(f"127.0.0.1:{everything.grpc_port}") as channel:
        call = channel.stream_stream(f"/{SERVICE}/{method}", None, StreamResponse.FromString)
        answers = call(iter([body]), timeout=60)
        if method == "ModelStreamInfer":
            assert words in next(answers).error_message
        else:
            with pytest.raises(grpc.RpcError) as caught:
                list(answers)
            assert words in caught.value.details()
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    # It arrives in pieces, becomes one and is handed over: three of it. Its parts, made, are forty.
    assert most_bytes(everything) - peak < 4 * len(body)


def test_grpc_messages_and_metadata_are_limited(line: grpc.Channel) -> None:
    assert ask(line, b"x" * (64 * 2**20 + 1)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ask(line, pb.ModelInferRequest(), **{"x-a": "b" * 100_000}) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ask(line, pb.ModelInferRequest(), **{"x-predictor": "b" * 1000}) is grpc.StatusCode.NOT_FOUND


def test_thousands_of_hostile_requests_leave_nothing_behind(everything: Server, line: grpc.Channel) -> None:
    picture = tensor(name="image", datatype="BYTES", data=["A" * 200_000])
    binary = tensor(parameters={"binary_data_size": 8})
    half = SIZED + b"\r\n" + GOOD[:-5]

    def assault(rounds: int) -> None:
        for index in range(rounds):
            assert post(everything, GOOD, x_request_id=f"id-{index}") == 200
            assert post(everything, tensor(name=f"name-{index}"), f"/v2/models/model-{index}/infer") == 200
            assert post(everything, picture) == 400
            assert post(everything, tensor(datatype="x" * 20_000)) == 400
            assert (
                post(everything, binary + bytes(8), inference_header_content_length=str(len(binary))) == 200
            )
            assert post(everything, GOOD, x_predictor=f"predictor-{index}") == 404
            assert everything.http.get(f"/nothing/{index}").status_code == 404
            with socket.create_connection(("127.0.0.1", everything.http_port), timeout=DEADLINE_S) as leaving:
                leaving.sendall(half)
            assert ask(line, pb.ModelInferRequest(model_name=f"m-{index}", id=f"{index}")) in ANSWERED

    assault(100)  # pools and caches fill
    before = resident_bytes(everything)
    assault(300)
    assert resident_bytes(everything) - before < 8 * 2**20
    assert f"name-{1}" not in everything.http.get("/metrics").text
