"""Messages of V2 over gRPC: typed contents, raw ones, and what is refused before it is looked at."""

from typing import Any

import numpy as np
import pytest

from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.message import DATATYPES, Message
from imagegraph.wire import tensors, v2_grpc
from imagegraph.wire.grpc_messages import pb


def request(datatype: str, shape: list[int], **contents: list[Any]) -> Any:
    request = pb.ModelInferRequest()
    tensor = request.inputs.add(name="x", datatype=datatype, shape=shape)
    for name, values in contents.items():
        getattr(tensor.contents, name).extend(values)
    return request


@pytest.mark.parametrize("datatype", sorted(v2_grpc._CONTENTS))
def test_typed_contents_are_read_as_raw_ones_are(datatype):
    values = [b"a", b"b"] if datatype == "BYTES" else [1, 0]
    typed = request(datatype, [2], **{v2_grpc._CONTENTS[datatype]: values})
    [read] = v2_grpc.decode_request(typed).messages
    raw = v2_grpc.encode_request(read, "m")
    assert len(raw.raw_input_contents) == 1
    assert v2_grpc.decode_request(raw).messages[0].values["x"].same(read.values["x"])


def test_half_precision_comes_raw_alone():
    with pytest.raises(InvalidInput, match="raw contents for FP16"):
        v2_grpc.decode_request(request("FP16", [1], fp32_contents=[1]))


def test_contents_are_as_many_as_the_shape_says():
    with pytest.raises(InvalidInput, match=r"3 values for shape \[3\], got '2 values'"):
        v2_grpc.decode_request(request("INT64", [3], int64_contents=[1, 2]))


def test_what_becomes_python_objects_is_counted(monkeypatch):
    with pytest.raises(InputTooLarge, match="at most 65536 elements of BYTES"):
        v2_grpc.decode_request(request("BYTES", [2**16 + 1]))
    monkeypatch.setitem(tensors.MOST, "numbers that are not raw", 10)
    with pytest.raises(InputTooLarge, match="at most 10 numbers that are not raw"):
        v2_grpc.decode_request(request("INT64", [11], int64_contents=[1] * 11))
    many = pb.ModelInferRequest()
    for index in range(1025):
        many.inputs.add(name=str(index), datatype="INT64", shape=[0])
    with pytest.raises(InputTooLarge, match="at most 1024 tensors"):
        v2_grpc.decode_request(many)
    asked = pb.ModelInferRequest()
    for index in range(1025):
        asked.outputs.add(name=str(index))
    with pytest.raises(InputTooLarge, match="outputs: expected at most 1024 tensors"):
        v2_grpc.decode_request(asked)
    about = pb.ModelInferRequest()
    for index in range(1025):
        about.parameters[str(index)].bool_param = True
    with pytest.raises(InputTooLarge, match="at most 1024 parameters"):
        v2_grpc.decode_request(about)


@pytest.mark.parametrize("datatype", sorted(DATATYPES))
def test_every_datatype_travels_raw(datatype):
    array = np.ones((2, 3), DATATYPES[datatype])
    read = v2_grpc.decode_answer(v2_grpc.encode_answer(Message({"x": array}))).values["x"]
    assert np.array_equal(read.array(), array)
