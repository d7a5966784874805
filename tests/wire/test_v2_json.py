import contextlib

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.image import Image
from imagegraph.message import DATATYPES, Message, Tensor, same
from imagegraph.wire import tensors, v2_json

NUMERIC = st.sampled_from(sorted(DATATYPES))
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@st.composite
def numbers(draw, finite=False):
    dtype = DATATYPES[draw(NUMERIC)]
    elements = {"allow_nan": False, "allow_infinity": False} if finite and dtype.kind == "f" else {}
    return draw(arrays.arrays(dtype, draw(SHAPES), elements=elements or None))


@st.composite
def raw_bytes(draw):
    items = draw(st.lists(st.binary(max_size=20), max_size=4))
    return Tensor("BYTES", (len(items),), items)


def names(values):
    return st.dictionaries(TEXT.filter(bool), values, max_size=4)


def as_tensors(message):
    return {name: tensors.of(value) for name, value in message.values.items()}


def assert_same(one, other):
    for name, value in one.items():
        assert same(value, other[name]), (name, value, other[name])
    assert one.keys() == other.keys()


@given(names(numbers() | raw_bytes()), TEXT, st.sampled_from(["inputs", "outputs"]))
def test_binary_messages_come_back_bit_by_bit(values, request_id, kind):
    message = Message(values, request_id, "node")
    body, length = v2_json.encode(message, kind)
    again = v2_json.decode(body, length)
    assert_same(as_tensors(message), dict(again.values))
    assert (again.id, again.origin) == (request_id, "node")


@given(names(numbers(finite=True) | st.lists(TEXT, min_size=1, max_size=4)))
def test_json_messages_come_back_as_they_were(values):
    message = Message(values, "7")
    body, length = v2_json.encode(message, "outputs", binary=False)
    assert length is None
    assert_same(as_tensors(message), dict(v2_json.decode(body).values))


def test_json_knows_no_infinity_so_nan_stands_for_both():
    for dtype in (np.float16, np.float32, np.float64):
        body, _ = v2_json.encode(Message({"x": np.array([1.5, np.nan, -np.inf], dtype)}), binary=False)
        assert same(v2_json.decode(body).values["x"].data, np.array([1.5, np.nan, np.nan], dtype))


def test_pictures_travel_as_they_are_or_as_base64_in_json():
    picture = Image.from_array(np.zeros((16, 16, 3), np.uint8))
    for binary in (True, False):
        body, length = v2_json.encode(Message({"image": picture}), binary=binary)
        [item] = v2_json.decode(body, length).values["image"].data
        data = item if isinstance(item, bytes) else item.encode()
        assert (data == picture.data) == binary
        assert Image.from_bytes(data) == picture


@pytest.mark.parametrize(
    ("value", "datatype", "shape"),
    [
        (True, "BOOL", (1,)),
        (1, "INT64", (1,)),
        (1.5, "FP64", (1,)),
        ([1, 2.5], "FP64", (2,)),
        ("a", "BYTES", (1,)),
        (["a", "b"], "BYTES", (2,)),
        ([], "BYTES", (0,)),
        ({"a": [1]}, "BYTES", (1,)),
        ([[1, 2], [3]], "BYTES", (1,)),
        (np.zeros((2, 3), np.float32), "FP32", (2, 3)),
        (np.zeros((4, 4), np.uint16)[::2], "UINT16", (2, 4)),
        (np.array(3), "INT64", ()),
    ],
)
def test_python_values_have_one_form_on_the_wire(value, datatype, shape):
    one = tensors.of(value)
    assert (one.datatype, one.shape) == (datatype, shape)
    body, length = v2_json.encode(Message({"x": value}))
    assert same(v2_json.decode(body, length).values["x"], one)


def test_values_that_are_none_do_not_travel():
    assert (
        orjson.loads(v2_json.encode(Message({"a": None, "b": 1}), binary=False)[0])["inputs"][0]["name"]
        == "b"
    )


def test_none_has_no_form_on_the_wire_and_is_no_text():
    with pytest.raises(TypeError, match="None does not travel"):
        tensors.of(None)


@pytest.mark.parametrize("value", [2**63, [2**64 - 1, 0]])
def test_whole_numbers_of_64_bits_travel_exactly(value):
    body, length = v2_json.encode(Message({"x": value}))
    read = v2_json.decode(body, length).values["x"].data.tolist()
    assert read == (value if isinstance(value, list) else [value])


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, [2**63, -1]])
def test_longer_whole_numbers_are_a_fault_of_ours(value):
    with pytest.raises(TypeError, match="64 bits"):
        tensors.of(value)


def test_arrays_without_a_datatype_are_a_fault_of_ours():
    with pytest.raises(TypeError, match="complex128"):
        tensors.of(np.zeros(1, np.complex128))


def test_a_combiner_reads_seldons_list_and_kserves_object():
    parts = [v2_json.encode(Message({"a": n}, origin=f"n{n}"), "outputs", binary=False)[0] for n in (1, 2)]
    listed = v2_json.decode_request(b"[" + b",".join(parts) + b"]").messages
    by_step = v2_json.decode_request(b'{"n1":' + parts[0] + b',"n2":' + parts[1] + b"}").messages
    body, length = v2_json.encode_answers([Message({"a": n}, origin=f"n{n}") for n in (1, 2)])
    for answers in (listed, by_step, v2_json.decode_request(body, length).messages):
        assert [answer.origin for answer in answers] == ["n1", "n2"]
        assert [answer.values["a"].array().tolist() for answer in answers] == [[1], [2]]


def request(**entry):
    return orjson.dumps({"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [1], **entry}]})


@pytest.mark.parametrize(
    ("body", "length", "message"),
    [
        (b"", None, "body: expected JSON"),
        (b"{", None, "body: expected JSON"),
        (b"\xff\xfe", None, "body: expected JSON"),
        (b'{"inputs": "\\ud800"}', None, "body: expected JSON"),
        (b"[" * 100_000, None, "body: expected JSON"),
        (b"[]", None, "body: expected a JSON object"),
        (b'"text"', None, "body: expected a JSON object"),
        (b"{}", None, "inputs: expected a list of tensors, got None"),
        (b'{"outputs": {}}', None, "outputs: expected a list"),
        (b'{"inputs": [1]}', None, "inputs.0.: expected a tensor object"),
        (b'{"inputs": [], "parameters": 1}', None, "parameters: expected an object"),
        (b'{"inputs": []}', 99, "Inference-Header-Content-Length: expected 0 to"),
        (b'{"inputs": []}', -1, "Inference-Header-Content-Length: expected 0 to"),
        (b'{"inputs": []}xyz', 14, "body: expected no bytes behind those of its tensors, got '3 more'"),
        (request(name=""), None, "inputs.0..name"),
        (request(name=["x"]), None, "inputs.0..name"),
        (request(datatype="FP8"), None, "inputs.0..datatype: expected BYTES or one of BOOL"),
        (request(datatype=["INT64"]), None, "inputs.0..datatype"),
        (request(shape=1), None, "inputs.0..shape"),
        (request(shape=[-1]), None, "inputs.0..shape"),
        (request(shape=[True]), None, "inputs.0..shape"),
        (request(shape=[0, 2**62, 2**62]), None, "inputs.0..shape"),
        (request(shape=[1] * 100_000), None, "inputs.0..shape"),
        (request(shape=[2]), None, "2 values for shape .2., got '1 values'"),
        (request(shape=[0]), None, "0 values"),
        (request(shape=[2, 2], data=[[1, 2, 3], [4]]), None, r"lists nested as \[2, 2\]"),
        (request(shape=[2, 2], data=[[1, 2], 3, 4]), None, "lists nested as"),
        (request(shape=[4], data=[[1, 2], [3, 4]]), None, "lists nested as"),
        (request(shape=[2, 2], data=[[[1], [2]], [[3], [4]]]), None, "values of INT64"),
        (request(shape=[2, 1, 2], data=[[[1, 2]], [[3], [4]]]), None, "lists nested as"),
        (request(shape=[1], data=[[1]], datatype="BYTES"), None, "expected text"),
        (request(shape=[2, 2], data=[["a"], ["b"]], datatype="BYTES"), None, "lists nested as"),
        (request(shape=[2**17], data=[""], datatype="BYTES"), None, "at most 65536 elements of BYTES"),
        (b'{"inputs":[' + b"{}," * 1024 + b"{}]}", None, "inputs: expected at most 1024 tensors"),
        (request(data=1), None, "inputs.0..data: expected a list"),
        (request(data=None), None, "inputs.0..data: expected a list"),
        (request(data=["1"]), None, "values of INT64"),
        (request(data=[1.5]), None, "values of INT64"),
        (request(data=[2**63]), None, "values of INT64"),
        (request(data=[None]), None, "values of INT64"),
        (request(datatype="UINT8", data=[300]), None, "values of UINT8"),
        (request(datatype="UINT8", data=[-1]), None, "values of UINT8"),
        (request(datatype="BOOL", data=[1]), None, "values of BOOL"),
        (request(datatype="FP32", data=[1e300]), None, "values of FP32"),
        (request(datatype="FP16", data=[70_000]), None, "values of FP16"),
        (request(datatype="FP32", data=[True]), None, "values of FP32"),
        (request(datatype="FP32", data=[{}]), None, "values of FP32"),
        (request(datatype="BYTES", data=[1]), None, "inputs.0..data: expected text"),
        (request(parameters=[]).replace(b"[]", b"[1]"), None, "inputs.0..parameters: expected an object"),
        (request(parameters={"binary_data_size": 8}), None, "at most the 0 bytes that are left, got 8"),
        (request(parameters={"binary_data_size": -8}), None, "binary_data_size"),
        (request(parameters={"binary_data_size": 1e300}), None, "binary_data_size"),
        (request(parameters={"binary_data_size": "8"}), None, "binary_data_size"),
    ],
)
def test_a_wrong_body_names_the_field(body, length, message):
    with pytest.raises(InvalidInput, match=message):
        v2_json.decode(body, length)


@pytest.mark.parametrize("shape", [[4], [2, 2], [1, 4, 1], [2, 1, 2]])
@pytest.mark.parametrize("datatype", ["INT64", "BYTES"])
def test_values_are_flat_or_nested_as_their_shape_says(shape, datatype):
    values = np.array([1, 2, 3, 4] if datatype == "INT64" else list("abcd"))
    for data in (values.tolist(), values.reshape(shape).tolist()):
        read = v2_json.decode(request(shape=shape, data=data, datatype=datatype)).values["x"]
        assert list(read.data) == values.tolist()
    for data in ([], [[]]):
        read = v2_json.decode(request(shape=[len(data), 0], data=data, datatype=datatype)).values["x"]
        assert len(read.data) == 0


def test_more_numbers_than_json_is_for_should_be_raw(monkeypatch):
    monkeypatch.setitem(tensors.MOST, "numbers that are not raw", 10)
    v2_json.decode(request(shape=[10], data=[1] * 10))
    with pytest.raises(
        InputTooLarge, match=r"inputs\[0\].data: expected at most 10 numbers that are not raw"
    ):
        v2_json.decode(request(shape=[11], data=[1] * 11))


def test_what_a_body_brings_is_counted_over_all_its_answers():
    texts = {"name": "x", "datatype": "BYTES", "shape": [40_000], "parameters": {"binary_data_size": 160_000}}
    head = orjson.dumps([{"outputs": [texts]}] * 2)
    with pytest.raises(InputTooLarge, match="at most 65536 elements of BYTES"):
        v2_json.decode_request(head + bytes(320_000), len(head))
    for many in ([{"outputs": []}] * 1025, {str(n): {"outputs": []} for n in range(1025)}):
        with pytest.raises(InputTooLarge, match="at most 1024 tensors"):
            v2_json.decode_request(orjson.dumps(many))
    with pytest.raises(InputTooLarge, match="at most 1024 tensors"):
        v2_json.decode_request(orjson.dumps({"inputs": [], "outputs": [{"name": "x"}] * 1025}))
    with pytest.raises(InputTooLarge, match="at most 1024 parameters"):
        v2_json.decode_request(orjson.dumps({"inputs": [], "parameters": {str(n): n for n in range(1025)}}))


@pytest.mark.parametrize(
    ("default", "asked", "binary"),
    [
        (None, None, False),
        (True, None, True),
        (False, None, False),
        (None, {"a": None, "b": None}, set()),
        (None, {"a": True, "b": None}, {"a"}),
        (None, {"a": True, "b": False}, {"a"}),
        (True, {"a": None, "b": False}, {"a"}),
        (True, {"a": None, "b": None}, {"a", "b"}),
        (False, {"a": None, "b": True}, {"b"}),
    ],
)
@pytest.mark.parametrize("raw", [True, False])
def test_each_output_is_binary_as_the_extension_says(default, asked, binary, raw):
    """Source: Triton's binary tensor data extension; how the request itself came says nothing."""
    head = {"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [1]}]}
    if raw:
        head["inputs"][0] = {**head["inputs"][0], "parameters": {"binary_data_size": 1}}
        del head["inputs"][0]["data"]
    if default is not None:
        head["parameters"] = {"binary_data_output": default}
    if asked is not None:
        head["outputs"] = [
            {"name": name} if flag is None else {"name": name, "parameters": {"binary_data": flag}}
            for name, flag in asked.items()
        ]
    text = orjson.dumps(head)
    read = v2_json.decode_request(text + b"1" * raw, len(text) if raw else None)
    assert read.binary == binary
    body, length = v2_json.encode(Message({"a": 1, "b": 2}), "outputs", read.binary)
    written = orjson.loads(body[:length])["outputs"]
    assert {one["name"] for one in written if "data" not in one} == (
        {"a", "b"} if binary is True else binary or set()
    )
    assert (length is None) == (not binary)
    assert [one.array().tolist() for one in v2_json.decode(body, length).values.values()] == [[1], [2]]


@pytest.mark.parametrize(
    ("parameters", "outputs", "at"),
    [
        ({"binary_data_output": "yes"}, [], "parameters.binary_data_output"),
        ({"binary_data_output": None}, [], "parameters.binary_data_output"),
        ({}, [{"name": "a", "parameters": {"binary_data": 1}}], r"outputs\[0\].parameters.binary_data"),
        ({}, [{"name": "a", "parameters": 7}], r"outputs\[0\].parameters"),
    ],
)
def test_a_wish_for_binary_that_is_neither_true_nor_false_is_refused(parameters, outputs, at):
    with pytest.raises(InvalidInput, match=at):
        v2_json.decode_request(orjson.dumps({"inputs": [], "parameters": parameters, "outputs": outputs}))


def test_whole_numbers_may_be_written_as_floats():
    body = request(shape=[3], data=[1, 7.0, 1e06]).replace(b"1000000.0", b"1e+06")
    assert v2_json.decode(body).values["x"].data.tolist() == [1, 7, 1_000_000]
    with pytest.raises(InvalidInput, match="values of INT64"):
        v2_json.decode(request(data=[1e19]))


def test_names_stand_once():
    entry = {"name": "x", "datatype": "INT64", "shape": [1], "data": [1]}
    with pytest.raises(InvalidInput, match=r"inputs\[1\]: expected every name once, got 'x'"):
        v2_json.decode(orjson.dumps({"inputs": [entry, entry]}))


@pytest.mark.parametrize(
    ("datatype", "raw", "message"),
    [
        ("INT64", b"1234567", "8 bytes for shape"),
        ("BYTES", b"", "1 elements for shape"),
        ("BYTES", b"\x01\x00", "4 bytes of length"),
        ("BYTES", b"\xff\xff\xff\xffx", "4294967295 of element 0"),
        ("BYTES", b"\x00\x00\x00\x00" * 2, "1 elements for shape"),
    ],
)
def test_binary_tensors_of_wrong_length_are_refused(datatype, raw, message):
    head = request(datatype=datatype, parameters={"binary_data_size": len(raw)})
    with pytest.raises(InvalidInput, match=message):
        v2_json.decode(head + raw, len(head))


def test_a_body_as_deep_as_json_allows_is_refused_in_words():
    deep = b"[" * 1000 + b"]" * 1000
    for body in (b'{"inputs":%s}' % deep, b'{"inputs":[{"name":%s}]}' % deep, deep):
        with pytest.raises(InvalidInput):
            v2_json.decode(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | JSON,
        "datatype": st.sampled_from([*DATATYPES, "BYTES"]) | JSON,
        "shape": st.lists(st.integers(0, 3), max_size=3) | JSON,
        "data": st.lists(JSON, max_size=3) | JSON,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40) | JSON}) | JSON,
    },
)
HEADS = st.fixed_dictionaries({"inputs": st.lists(FIELDS | JSON, max_size=2)}, optional={"id": JSON})


@given(HEADS | JSON, st.binary(max_size=40), st.none() | st.integers(-2, 5))
def test_hostile_bodies_are_read_or_refused_as_invalid_input(head, binary, lie):
    text = orjson.dumps(head)
    for body, length in ((text + binary, len(text) + (lie or 0)), (text, None), (binary, lie)):
        with contextlib.suppress(InvalidInput):
            for value in v2_json.decode(body, length).values.values():
                if value.datatype != "BYTES":
                    assert value.array().shape == value.shape
        with contextlib.suppress(InvalidInput):
            v2_json.decode_request(body, length)
