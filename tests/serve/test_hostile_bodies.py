"""Hostile bodies to a real node: answered or refused in words, in time."""

import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegraph.message import DATATYPES
from imagegraph.wire.grpc_messages import pb, stubs
from tests.serve.conftest import Server
from tests.serve.hostile import DEADLINE_S, PORTS, TEXT, examples, post, tensor

Start = Callable[..., Server]


@pytest.fixture(scope="module")
def combiner(start: Start) -> Server:
    return start("--component", "unite")


@pytest.fixture(scope="module")
def router(start: Start) -> Server:
    return start("--component", "by-size")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(PORTS) | JSON,
        "datatype": st.sampled_from([*DATATYPES, "BYTES"]) | JSON,
        "shape": st.lists(st.integers(0, 3), max_size=3) | JSON,
        "data": st.lists(st.floats() | st.integers(-(2**63), 2**64 - 1) | TEXT, max_size=9) | JSON,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40)}) | JSON,
    },
)
# Well-formed but for its values, so that it comes as far as the ports.
PLAUSIBLE = st.builds(
    lambda name, kind, data, nested: {
        "name": name,
        "datatype": kind,
        "shape": [len(data) // 2, 2] if nested and len(data) % 2 == 0 else [len(data)],
        "data": data,
    },
    st.sampled_from(PORTS),
    st.sampled_from([*DATATYPES, "BYTES"]),
    st.lists(st.integers(-300, 300), max_size=4)
    | st.lists(st.floats(width=16), max_size=4)
    | st.lists(st.booleans(), max_size=4)
    | st.lists(TEXT | JSON.map(json.dumps), max_size=4),
    st.booleans(),
)
BODY = st.fixed_dictionaries(
    {"inputs": st.lists(PLAUSIBLE, max_size=3) | st.lists(TENSOR | JSON, max_size=2)},
    optional={
        "id": JSON,
        "parameters": st.fixed_dictionaries({"binary_data_output": JSON}) | JSON,
        "outputs": st.lists(TENSOR | JSON, max_size=2) | JSON,
    },
)


@examples(400)
@given(body=BODY | JSON)
def test_any_json_is_answered_or_refused(everything: Server, body: Any) -> None:
    post(everything, json.dumps(body).encode())


@examples(150)
@given(instances=JSON | st.lists(st.dictionaries(st.sampled_from(PORTS), JSON), max_size=3), common=JSON)
def test_any_instances_are_answered_or_refused(everything: Server, instances: Any, common: Any) -> None:
    body = {"instances": instances, "parameters": common}
    post(everything, json.dumps(body).encode(), "/v1/models/m:predict")


@examples(300)
@given(body=BODY, binary=st.binary(max_size=60), lie=st.integers(-3, 3) | st.integers(-(2**70), 2**70))
def test_lies_about_binary_lengths_are_refused(
    everything: Server, body: Any, binary: bytes, lie: int
) -> None:
    head = json.dumps(body).encode()
    post(everything, head + binary, inference_header_content_length=str(len(head) + lie))


@examples(300)
@given(
    kind=st.sampled_from(["INT64", "FP32", "BYTES", "BOOL", "FP16"]),
    name=st.sampled_from(PORTS),
    shape=st.lists(st.integers(0, 4) | st.integers(0, 2**40), max_size=4),
    binary=st.binary(max_size=64),
)
def test_any_raw_tensor_is_answered_or_refused(
    everything: Server, kind: str, name: str, shape: list[int], binary: bytes
) -> None:
    tensor = {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(binary)}}
    head = orjson.dumps({"inputs": [tensor]})
    post(everything, head + binary, inference_header_content_length=str(len(head)))


@examples(150)
@given(
    body=st.binary(max_size=200) | st.text(max_size=50).map(lambda text: text.encode("utf-16")),
    type_=st.sampled_from(["application/json", "text/plain", "application/x-protobuf", "?", ""]),
    encoding=st.sampled_from(["", "gzip", "br", "chunked"]),
    length=st.none() | st.text("0123456789-+e.x", max_size=30),
)
def test_any_bytes_under_any_label_are_refused(
    everything: Server, body: bytes, type_: str, encoding: str, length: str | None
) -> None:
    headers = {} if length is None else {"inference_header_content_length": length}
    assert post(everything, body, content_type=type_, content_encoding=encoding, **headers) != 200


@examples(200)
@given(body=JSON | st.lists(BODY, max_size=3) | st.dictionaries(TEXT, BODY, max_size=3))
def test_any_answers_are_combined_or_refused(combiner: Server, body: Any) -> None:
    post(combiner, json.dumps(body).encode(), "/v2/models/m/aggregate")
    post(combiner, json.dumps(body).encode())


@examples(100)
@given(body=BODY | JSON)
def test_any_message_is_routed_or_refused(router: Server, body: Any) -> None:
    post(router, json.dumps(body).encode(), "/v2/models/m/route")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 5_000_000, id="deep"),
        pytest.param(b'{"inputs":' * 500_000 + b"1" + b"}" * 500_000, id="deep objects"),
        pytest.param(tensor().replace(b"[1]}", b"[" * 900 + b"1,1" + b"]" * 900 + b"}"), id="nested"),
        pytest.param(tensor(shape=[0, 2**31, 2**31]), id="empty but large"),
        pytest.param(tensor(shape=[2**31 - 1]), id="more than there is"),
        pytest.param(tensor().replace(b"[1]", b"[1e400]"), id="infinite"),
        pytest.param(tensor().replace(b"[1]", b"[" + b"9" * 5_000 + b"]"), id="long number"),
        pytest.param(tensor().replace(b"[1]", b"[NaN]"), id="nan"),
        pytest.param(tensor(name="x" * 1_000_000, datatype="FP8"), id="long name"),
        pytest.param(tensor(datatype="FP" * 1_000_000), id="long datatype"),
        pytest.param(tensor(name="ratio", datatype="BYTES", data=["x" * 5_000_000]), id="long text"),
        pytest.param(tensor(name="image", datatype="BYTES", data=["A" * 5_000_000]), id="no picture"),
        pytest.param(tensor(name="box", datatype="BYTES", data=["[" * 100_000]), id="deep text"),
        pytest.param(tensor(name="box", datatype="BYTES", data=['{"a":' * 900 + "1" + "}" * 900]), id="box"),
        pytest.param(b'{"inputs":[' + b"{}," * 300_000 + b"{}]}", id="many tensors"),
        pytest.param(tensor().replace(b'"number"', b'"\xff\xfe"'), id="no utf-8"),
        pytest.param(tensor().replace(b'"number"', b'"\\ud800"'), id="half a character"),
        pytest.param(b"\xef\xbb\xbf" + tensor(name="flag"), id="byte order mark"),
    ],
)
def test_what_shall_tire_the_node_is_refused_at_once(everything: Server, body: bytes) -> None:
    start = time.monotonic()
    assert post(everything, body) != 200
    assert time.monotonic() - start < 2


MANY = (3000, 4000, 3)  # what a client of Triton sends as a picture


def raw(name: str, datatype: str, shape: tuple[int, ...], size: int) -> tuple[bytes, str]:
    tensor = {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    head = orjson.dumps({"inputs": [tensor]})
    return head + bytes(size), str(len(head))


@pytest.mark.parametrize(
    ("name", "datatype", "shape", "size", "status"),
    [
        *(
            (name, "UINT8", MANY, 36_000_000, 400)
            for name in ("number", "ratio", "flag", "text", "words", "box")
        ),
        ("seed", "FP64", (6_000_000,), 48_000_000, 400),
        ("words", "INT8", (36_000_000,), 36_000_000, 413),
        ("image", "UINT8", MANY, 36_000_000, 200),
        ("image", "UINT8", (1, *MANY), 36_000_000, 200),
        ("image", "INT8", MANY, 36_000_000, 400),
        ("text", "BYTES", (8_000_000,), 32_000_000, 413),
        ("unread", "BYTES", (8_000_000,), 32_000_000, 413),
    ],
)
def test_many_values_are_refused_or_one_picture_at_once(
    everything: Server, name: str, datatype: str, shape: tuple[int, ...], size: int, status: int
) -> None:
    body, length = raw(name, datatype, shape, size)
    assert post(everything, body, inference_header_content_length=length) == status
    call = pb.ModelInferRequest(raw_input_contents=[bytes(size)])
    call.inputs.add(name=name, datatype=datatype, shape=shape)
    with grpc.insecure_channel(f"127.0.0.1:{everything.grpc_port}") as channel:
        done = stubs.GRPCInferenceServiceStub(channel).ModelInfer.future(call, timeout=DEADLINE_S)
        done.exception()
        assert dict(done.trailing_metadata()).get("x-status", "200") == str(status), done.details()


def test_a_picture_that_unpacks_to_gigabytes_is_refused_by_its_header(everything: Server) -> None:
    header = (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    )
    message = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}]}
    binary = len(header).to_bytes(4, "little") + header
    message["inputs"][0]["parameters"] = {"binary_data_size": len(binary)}
    head = orjson.dumps(message)
    assert post(everything, head + binary, inference_header_content_length=str(len(head))) in (400, 413)
