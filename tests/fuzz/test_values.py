"""Values on the wire: the same by every way that they can come, or refused by every one."""

import contextlib
import json
from typing import Any

import numpy as np
import orjson
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from imagegraph.errors import InvalidInput
from imagegraph.message import DATATYPES, Message, Tensor, same
from imagegraph.signature import Signature
from imagegraph.spec.content_hash import content_hash
from imagegraph.wire import tensors, v2_grpc, v2_json
from imagegraph.wire.grpc_messages import pb
from tests.fuzz.cases import cases
from tests.serve.serving import Everything

PORTS = Signature.of(Everything).inputs
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4) | st.just((16, 20, 3))


@st.composite
def numbers(draw: Any) -> Tensor:
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    dtype = DATATYPES[datatype]
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None
    array = draw(arrays.arrays(dtype, draw(SHAPES), elements=elements))
    return Tensor(datatype, array.shape, array.reshape(-1))


@st.composite
def texts(draw: Any) -> Tensor:
    shape = draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    count = int(np.prod(shape))
    items = draw(st.lists(TEXT | st.integers().map(str), min_size=count, max_size=count))
    return Tensor("BYTES", shape, [one.encode() for one in items])


def ways(name: str, tensor: Tensor) -> dict[str, Any]:
    """What a node gets of a tensor by each way."""
    head: dict[str, Any] = {"name": name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    flat = [one.decode() for one in tensor.data] if tensor.datatype == "BYTES" else tensor.data.tolist()
    nested = np.array(flat, object).reshape(tensor.shape).tolist() if tensor.shape else flat
    body, length = v2_json.encode(Message({name: tensor}))
    read = {
        "flat": v2_json.decode(orjson.dumps({"inputs": [{**head, "data": flat}]})),
        "nested": v2_json.decode(orjson.dumps({"inputs": [{**head, "data": nested}]})),
        "binary": v2_json.decode(body, length),
        "raw": v2_grpc.decode_request(v2_grpc.encode_request(Message({name: tensor}), "m")).messages[0],
    }
    if tensor.datatype in v2_grpc._CONTENTS:
        typed = pb.ModelInferRequest()
        contents = typed.inputs.add(**head).contents
        getattr(contents, v2_grpc._CONTENTS[tensor.datatype]).extend(
            tensor.data if tensor.datatype == "BYTES" else flat
        )
        read["typed"] = v2_grpc.decode_request(typed).messages[0]
    return {way: message.values[name] for way, message in read.items()}


def outcome(name: str, value: Any) -> str:
    try:
        return content_hash(PORTS[name].read(value))
    except InvalidInput as error:
        refused = error
    assert str(refused).startswith(name)
    assert len(str(refused)) < 400
    return "refused"


@cases(700)
@given(st.sampled_from(sorted(PORTS)), numbers() | texts())
@example("number", Tensor("UINT64", (1,), np.array([2**63], np.uint64)))
@example("points", Tensor("FP32", (1, 0, 0), np.zeros(0, np.float32)))
@example("points", Tensor("FP32", (0, 2), np.zeros(0, np.float32)))
@example("words", Tensor("BYTES", (2, 2), [b""] * 4))
@example("image", Tensor("UINT8", (16, 20, 3), np.zeros(960, np.uint8)))
def test_a_tensor_is_the_same_value_by_every_way_or_refused_by_all(name, tensor):
    got = ways(name, tensor)
    for way, one in got.items():
        assert one.same(tensor), way
    assert len({outcome(name, one) for one in got.values()}) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@cases(400)
@given(JSON, JSON)
@example(None, "null")
@example(True, 1)
@example([1], [True])
@example({"a": 1}, '{"a":1}')
@example(1, 1.0)
def test_unequal_values_are_unequal_wherever_they_are_compared(one, other):
    equal = json.dumps(one) == json.dumps(other)
    if not equal:
        assert content_hash(one) != content_hash(other)
        assert not same(one, other) or one == other


TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(sorted(PORTS)) | JSON,
        "datatype": st.sampled_from([*DATATYPES, "BYTES"]) | JSON,
        "shape": st.lists(st.integers(0, 3), max_size=3) | JSON,
        "data": st.lists(st.floats(allow_nan=False) | st.integers(-300, 300) | TEXT, max_size=9) | JSON,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40)}) | JSON,
    },
)
PLAUSIBLE = st.builds(
    lambda name, kind, data, nested: {
        "name": name,
        "datatype": kind,
        "shape": [len(data) // 2, 2] if nested and len(data) % 2 == 0 else [len(data)],
        "data": data,
    },
    st.sampled_from(sorted(PORTS)),
    st.sampled_from([*DATATYPES, "BYTES"]),
    st.lists(st.integers(-300, 300), max_size=4)
    | st.lists(st.floats(width=16, allow_nan=False), max_size=4)
    | st.lists(st.booleans(), max_size=4)
    | st.lists(TEXT | JSON.map(json.dumps), max_size=4),
    st.booleans(),
)
WISH = st.fixed_dictionaries(
    {"name": st.sampled_from(["read", "x"])},
    optional={"parameters": st.fixed_dictionaries({"binary_data": st.booleans() | JSON})},
)
BODY = st.fixed_dictionaries(
    {"inputs": st.lists(PLAUSIBLE, max_size=3) | st.lists(TENSOR | JSON, max_size=2)},
    optional={
        "id": JSON,
        "parameters": st.fixed_dictionaries({"binary_data_output": st.booleans() | JSON}) | JSON,
        "outputs": st.lists(WISH, max_size=2) | st.lists(TENSOR | JSON, max_size=2) | JSON,
    },
)


@cases(800)
@given(
    BODY | st.lists(BODY, max_size=2) | st.dictionaries(TEXT, BODY, max_size=2) | JSON, st.binary(max_size=40)
)
def test_any_body_is_answered_as_it_asks_or_refused(body, binary):
    text = orjson.dumps(body)
    for raw, length in ((text + binary, len(text)), (text, None)):
        with contextlib.suppress(InvalidInput):
            request = v2_json.decode_request(raw, length)
            for message in request.messages:
                Signature.of(Everything).bind(message.values)
            answer = Message({name: 1 for name in request.outputs or ["read"]})
            encoded, head = v2_json.encode(answer, "outputs", request.binary)
            assert (head is not None) == bool(request.binary)
            assert v2_json.decode(encoded, head).values.keys() == answer.values.keys()


@cases(300)
@given(st.sampled_from([*DATATYPES, "BYTES"]), SHAPES, st.binary(max_size=64))
def test_any_raw_bytes_are_the_tensor_that_writes_them_or_refused(datatype, shape, data):
    with contextlib.suppress(InvalidInput):
        tensor = tensors.from_raw(data, datatype, shape, "x")
        if datatype != "BOOL":
            assert b"".join(tensors.raw(tensor)) == data
