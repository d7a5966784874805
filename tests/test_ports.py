"""Ports: what they accept, what they refuse, how they stand on the wire."""

from typing import Annotated, Any, Literal

import numpy as np
import pydantic
import pytest
from pydantic import Field

from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.message import DATATYPES, Tensor
from imagegraph.ports import Array, Port, Prompt, Seed, Unit

PICTURE = Image.from_array(np.zeros((16, 16, 3), np.uint8))
Keypoints = Annotated[np.ndarray, Array("float32", (-1, 3))]


class How(pydantic.BaseModel, extra="forbid"):
    strength: Unit = 1.0


ANNOTATIONS: dict[str, Any] = {
    "prompt": Prompt,
    "image": Image | None,
    "steps": Annotated[int, Field(ge=1, le=200, description="Denoising steps")],
    "seeds": list[Seed] | None,
    "strength": Unit,
    "exact": bool,
    "mode": Literal["fast", "good"],
    "keypoints": Keypoints | None,
    "controls": dict[str, How],
    "pictures": list[Image] | None,
}
PORTS = {name: Port(name, annotation, True) for name, annotation in ANNOTATIONS.items()}


def text_tensor(*items: bytes | str) -> Tensor:
    return Tensor("BYTES", (len(items),), list(items))


@pytest.mark.parametrize(
    ("name", "datatype", "shape"),
    [
        ("prompt", "BYTES", (1,)),
        ("image", "BYTES", (1,)),
        ("steps", "INT64", (1,)),
        ("seeds", "INT64", (-1,)),
        ("strength", "FP64", (1,)),
        ("exact", "BOOL", (1,)),
        ("mode", "BYTES", (1,)),
        ("keypoints", "FP32", (-1, 3)),
        ("controls", "BYTES", (1,)),
        ("pictures", "BYTES", (-1,)),
    ],
)
def test_the_annotation_says_datatype_and_shape(name, datatype, shape):
    assert (PORTS[name].datatype, PORTS[name].shape) == (datatype, shape)


def test_a_port_says_its_limits_meaning_and_whether_it_holds_pictures():
    assert PORTS["steps"].description == "Denoising steps"
    assert PORTS["steps"].schema["maximum"] == 200
    assert [name for name, port in PORTS.items() if port.holds_images] == ["image", "pictures"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("steps", 5, 5),
        ("steps", "5", 5),
        ("steps", Tensor("INT64", (1,), np.array([5])), 5),
        ("strength", Tensor("FP32", (1,), np.array([0.5], np.float32)), 0.5),
        ("exact", Tensor("BOOL", (1,), np.array([True])), True),
        ("prompt", text_tensor(b"\xc3\xa4"), "ä"),
        ("prompt", text_tensor("👩‍🚀"), "👩‍🚀"),
        ("prompt", "", ""),
        ("seeds", Tensor("INT64", (2,), np.array([1, 2])), [1, 2]),
        ("seeds", Tensor("BYTES", (0,), []), []),
        ("seeds", None, None),
        ("mode", text_tensor("fast"), "fast"),
        ("controls", '{"depth": {"strength": 0.5}}', {"depth": How(strength=0.5)}),
        ("controls", text_tensor(b'{"depth": {}}'), {"depth": How()}),
        ("image", PICTURE.data, PICTURE),
        ("image", text_tensor(PICTURE.data), PICTURE),
        ("pictures", [PICTURE.data, PICTURE], [PICTURE, PICTURE]),
    ],
)
def test_a_port_reads_python_values_and_tensors(name, value, expected):
    read = PORTS[name].read(value)
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("steps", 0, "steps: expected greater than or equal to 1, got 0"),
        ("steps", 10**6, "steps: expected less than or equal to 200, got 1000000"),
        ("steps", "many", "steps: expected a valid integer"),
        ("steps", True, "steps: expected a number, got True"),
        ("seeds", [1, False], "seeds: expected a number, got False"),
        ("steps", None, "steps: expected a valid integer, got None"),
        ("steps", Tensor("INT64", (2,), np.array([1, 2])), "steps: expected one value, got .*shape .2."),
        ("steps", Tensor("INT64", (0,), np.array([], int)), "steps: expected one value"),
        ("strength", float("nan"), "strength: expected a finite number, got nan"),
        ("strength", "inf", "strength: expected a finite number"),
        ("prompt", "x" * 10_000, "prompt: expected at most 2000 characters, got .*10000 characters"),
        ("prompt", 5, "prompt: expected a valid string, got 5"),
        ("prompt", text_tensor(b"\xff"), "prompt: expected text in UTF-8"),
        ("prompt", "\ud800", "prompt: expected a valid string"),
        ("seeds", [1, -1], r"seeds\[1\]: expected greater than or equal to 0, got -1"),
        ("seeds", [2**53], r"seeds\[0\]: expected less than 9007199254740992"),
        ("mode", "slow", "mode: expected 'fast' or 'good', got 'slow'"),
        ("controls", "{", "controls: expected JSON"),
        ("controls", "[" * 5000, "controls: expected JSON"),
        (
            "controls",
            '{"depth": {"strength": 2}}',
            "controls.depth.strength: expected less than or equal to 1",
        ),
        ("controls", '{"depth": {"strenth": 1}}', "controls.depth.strenth: expected no such field, got 1"),
        ("image", 5, "image: expected a JPEG, PNG or WebP picture, got 5"),
        ("image", "no base64!", "image: expected an image as base64"),
        ("image", b"\x00\x01", "image: expected a JPEG, PNG or WebP picture"),
        ("pictures", [PICTURE, b"\x00\x01"], "pictures: expected a JPEG, PNG or WebP picture"),
        ("keypoints", np.zeros((2, 4)), r"keypoints: expected an array of shape \[-1, 3\], not \[2, 4\]"),
        ("keypoints", np.zeros(3), "keypoints: expected an array of shape"),
        ("keypoints", [["a", "b", "c"]], "keypoints: expected an array of float32"),
        ("keypoints", [[1], [1, 2]], "keypoints: expected"),
        ("keypoints", "[[1, 2", "keypoints: expected JSON"),
        ("keypoints", "[[1, 2]]", r"keypoints: expected an array of shape \[-1, 3\], not \[1, 2\]"),
        ("keypoints", text_tensor("a", "b", "c"), "keypoints: expected an array of float32, got .*BYTES"),
    ],
)
def test_a_wrong_value_names_port_expectation_and_value(name, value, message):
    with pytest.raises(InvalidInput, match=message):
        PORTS[name].read(value)


def test_an_array_may_be_written_as_json_on_a_command_line():
    read = PORTS["keypoints"].read("[[1, 2, 3], [4, 5, 6]]")
    assert (read.dtype, read.tolist()) == (np.float32, [[1, 2, 3], [4, 5, 6]])


def test_arrays_keep_their_dtype_and_are_plain_as_lists():
    port = Port("keypoints", Keypoints, True)
    array = port.read([[1, 2, 3]])
    assert array.dtype == np.float32
    assert port.plain(array) == [[1.0, 2.0, 3.0]]
    assert PORTS["controls"].plain({"a": How()}) == {"a": {"strength": 1.0}}
    assert all(port.plain(None) is None for port in PORTS.values())


class Unread(np.ndarray):
    """An array of which nobody may make Python objects."""

    def __iter__(self):
        raise AssertionError("made Python objects")

    item = tolist = __iter__


MANY = (300, 400, 3)


@pytest.mark.parametrize("datatype", [*DATATYPES, "BYTES"])
@pytest.mark.parametrize("name", ["prompt", "steps", "strength", "exact", "mode", "controls", "image"])
def test_many_values_where_one_belongs_are_refused_before_they_are_looked_at(name, datatype):
    dtype = DATATYPES.get(datatype, np.dtype(object))
    tensor = Tensor(datatype, (*MANY, 2), np.zeros(720_000, dtype).view(Unread))
    expected = rf"^{name}: expected (one|pixels) .*{datatype} and shape \[300, 400"
    with pytest.raises(InvalidInput, match=expected):
        PORTS[name].read(tensor)


@pytest.mark.parametrize("datatype", [*DATATYPES, "BYTES"])
@pytest.mark.parametrize("name", ["seeds", "pictures", "keypoints"])
def test_a_list_of_more_values_than_lists_hold_is_refused_before_they_are_looked_at(name, datatype):
    dtype = DATATYPES.get(datatype, np.dtype(object))
    for shape in ((720_000,), (720, 1000)):
        tensor = Tensor(datatype, shape, np.zeros(720_000, dtype).view(Unread))
        with pytest.raises(InvalidInput, match=f"^{name}: expected"):
            PORTS[name].read(tensor)
    with pytest.raises(InvalidInput, match="at most 65536 values, got '65537'"):
        PORTS["seeds"].read([0] * 65537)


def raw(array):
    array = np.ascontiguousarray(array)
    datatype = next(name for name, dtype in DATATYPES.items() if dtype == array.dtype)
    return Tensor(datatype, array.shape, np.frombuffer(array.tobytes(), array.dtype))


COLOURS = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)


@pytest.mark.parametrize("pixels", [COLOURS, COLOURS[..., 0], COLOURS[..., 0].astype(np.uint16) * 257])
def test_raw_pixels_are_a_picture(pixels):
    picture = Image.from_array(pixels.copy())
    for leading in (pixels, pixels[None]):
        read = PORTS["image"].read(raw(leading))
        assert read.size == (20, 16)
        assert not read.is_encoded
        assert read == picture
        assert np.array_equal(read.rgb(), picture.rgb())
    several = PORTS["pictures"].read(raw(np.stack([pixels, pixels])))
    assert several == [picture, picture]
    assert PORTS["pictures"].read(raw(pixels[None])) == [picture]


@pytest.mark.parametrize(
    ("name", "shape", "datatype", "message"),
    [
        (
            "image",
            (16, 20, 4),
            np.uint8,
            r"image: expected pixels as UINT8 \[h, w, 3\] or .*, got .*16, 20, 4",
        ),
        ("image", (2, 16, 20, 3), np.uint8, "image: expected pixels as UINT8"),
        ("image", (16, 20, 3), np.uint16, "image: expected pixels as UINT8"),
        ("image", (16, 20, 3), np.float32, "image: expected one picture: encoded, or raw as UINT8"),
        ("image", (320,), np.uint8, "image: expected pixels"),
        ("image", (), np.uint8, "image: expected pixels"),
        ("image", (0, 20, 3), np.uint8, "image: expected pixels"),
        ("image", (8, 20, 3), np.uint8, "image: expected sides of at least 16 pixels, got '20x8'"),
        ("image", (16, 100), np.uint8, "image: expected an aspect ratio within 4:1"),
        ("image", (9000, 9000), np.uint8, "image: expected at most 64000000 pixels"),
        ("pictures", (16, 20, 3), np.uint8, "pictures: expected sides of at least 16 pixels, got '3x20'"),
        ("pictures", (1, 16, 20, 4), np.uint8, r"pictures: expected pixels as \[n, …\] of UINT8"),
        ("pictures", (16, 20), np.uint8, "pictures: expected pixels"),
    ],
)
def test_other_pixels_are_refused_by_datatype_and_shape(name, shape, datatype, message):
    with pytest.raises(InvalidInput, match=message):
        PORTS[name].read(raw(np.zeros(shape, datatype)))


def test_an_array_that_a_component_gets_cannot_be_written_to():
    shared = np.zeros((2, 3), np.float32)
    for value in (shared, Tensor("FP32", (2, 3), shared.reshape(-1)), shared.tolist()):
        with pytest.raises(ValueError, match="read-only"):
            PORTS["keypoints"].read(value)[:] = 1
    assert shared.flags.writeable, "the other's own array stays as it is"


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (3, 2)])
def test_a_list_of_several_dimensions_is_refused(shape):
    with pytest.raises(InvalidInput, match="seeds: expected a list, got .*INT64 and shape"):
        PORTS["seeds"].read(raw(np.zeros(shape, np.int64)))
    assert PORTS["seeds"].read(raw(np.zeros((1, 3), np.int64))) == [0, 0, 0]


def test_an_optional_port_keeps_its_description_and_limits():
    port = Port("side", Annotated[int, Field(ge=64, le=2048, description="In pixels")] | None, False)
    assert port.description == "In pixels"
    assert port.facts == {
        "required": False,
        "schema": {"type": "integer", "minimum": 64, "maximum": 2048, "description": "In pixels"},
    }


def test_the_facts_of_a_port_are_enough_to_make_a_form_of():
    mode = Port("mode", Annotated[Literal["fast", "good"], Field(description="How")], False, "good")
    assert mode.facts["default"] == "good"
    assert mode.facts["schema"]["enum"] == ["fast", "good"]
    assert Port("prompt", Prompt, True).facts["required"] is True
    outer = Port("seed", Annotated[Seed | None, Field(description="Of the first")], False)
    assert outer.facts["schema"]["description"] == "Of the first", "the port's own before that of its type"


@pytest.mark.parametrize("annotation", [How, Annotated[How, Field(description="how")], How | None])
def test_a_model_is_a_port_by_itself_too(annotation):
    port = Port("how", annotation, True)
    assert port.datatype == "BYTES"
    assert port.content_type == "application/json"
    assert isinstance(port.read("{}"), How)
