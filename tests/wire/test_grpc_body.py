"""The bytes of a gRPC request: counted as protobuf reads them, and refused before it makes much of them."""

import random

import pytest
from google.protobuf.message import DecodeError

from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.wire import grpc_body
from imagegraph.wire.grpc_messages import pb

CONTENTS = {
    "bool_contents": [True, False],
    "int_contents": [-1, 1],
    "int64_contents": [2**63 - 1, -1, 0],
    "uint_contents": [2**32 - 1],
    "uint64_contents": [2**64 - 1, 300],
    "fp32_contents": [0.5, 1.0],
    "fp64_contents": [0.25],
    "bytes_contents": [b"", b"a" * 300],
}
FULL = pb.ModelInferRequest(
    model_name="m" * 200,
    id="one",
    inputs=[{"name": "x", "datatype": "INT64", "shape": [2, 300], "contents": CONTENTS}],
    outputs=[{"name": "y"}],
    raw_input_contents=[b"", b"raw"],
)
FULL.parameters["a"].double_param = 0.5
FULL.inputs[0].parameters["b"].string_param = "c" * 200
WHOLE = FULL.SerializeToString()
# Field 500 as a number, four bytes, eight bytes and a text: a newer protocol's.
NEWER = b"\xa0\x1f\xff\x01\xa5\x1f\0\0\0\0\xa1\x1f\0\0\0\0\0\0\0\0\xa2\x1f\x02hi"


@pytest.fixture(autouse=True)
def _all_is_counted(monkeypatch):
    monkeypatch.setattr(grpc_body, "SMALL_BODY", 0)


@pytest.mark.parametrize(
    "body", [b"", WHOLE, NEWER + WHOLE, WHOLE + WHOLE], ids=["none", "all", "newer", "twice"]
)
def test_a_request_is_read_as_protobuf_reads_it(body):
    assert grpc_body.read_request(body) == pb.ModelInferRequest.FromString(body)


def test_nothing_is_refused_that_protobuf_reads_but_groups():
    chance = random.Random(0)
    for _ in range(20_000):
        body = bytearray(WHOLE)
        for _ in range(chance.randint(1, 3)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        try:
            read = grpc_body.read_request(bytes(body))
        except InvalidInput:
            with pytest.raises(DecodeError):
                pb.ModelInferRequest.FromString(bytes(body))
        else:
            assert read == pb.ModelInferRequest.FromString(bytes(body))


@pytest.mark.parametrize(
    "body", [WHOLE[:-1], b"\x0a", b"\x0a\x05a", b"\x2b\x2c", b"\xff" * 11, b"\x2a\x01\x08"]
)
def test_other_bytes_are_refused_in_words(body):
    with pytest.raises(InvalidInput, match="request: expected the bytes of a ModelInferRequest"):
        grpc_body.read_request(body)


MANY = 2**17 + 1


@pytest.mark.parametrize(
    "request_",
    [
        {"inputs": [{}] * MANY},
        {"outputs": [{}] * MANY},
        {"raw_input_contents": [b""] * MANY},
        {"inputs": [{"contents": {"bytes_contents": [b""] * MANY}}]},
        {"inputs": [{"name": "x" * 60}] * (MANY // 20)},
    ],
    ids=["inputs", "outputs", "raw", "bytes", "short ones"],
)
def test_more_fields_than_requests_need_are_refused(request_):
    with pytest.raises(InputTooLarge, match="request: expected at most 131072 fields in a body"):
        grpc_body.read_request(pb.ModelInferRequest(**request_).SerializeToString())


@pytest.mark.parametrize("name", [name for name in CONTENTS if name != "bytes_contents"])
def test_packed_numbers_are_counted_one_by_one(name, monkeypatch):
    monkeypatch.setattr(grpc_body, "MOST_NUMBERS", 1000)
    largest = max(CONTENTS[name])

    def body(count):
        inputs = [{"contents": {name: [largest] * (count // 2)}} for _ in range(2)]
        return pb.ModelInferRequest(inputs=inputs).SerializeToString()

    grpc_body.read_request(body(1000))
    with pytest.raises(InputTooLarge, match="at most 1000 numbers"):
        grpc_body.read_request(body(1002))


def test_sizes_of_a_shape_are_counted(monkeypatch):
    monkeypatch.setattr(grpc_body, "MOST_NUMBERS", 1000)
    body = pb.ModelInferRequest(inputs=[{"shape": [2**62] * 1001}]).SerializeToString()
    with pytest.raises(InputTooLarge, match="at most 1000 numbers"):
        grpc_body.read_request(body)


def test_the_largest_request_of_tensors_is_read():
    inputs = [{"name": f"name-{n}" + "x" * 90, "datatype": "BYTES", "shape": [1]} for n in range(1024)]
    request = pb.ModelInferRequest(inputs=inputs, raw_input_contents=[b"\0\0\0\0"] * 1024)
    request.inputs[0].contents.bytes_contents.extend([b"x"] * 2**16)
    assert grpc_body.read_request(request.SerializeToString()) == request
