"""Ports: what they accept, what they refuse, how they stand on the wire."""

from typing import Annotated, Any, Literal

import numpy as np
import pydantic
import pytest
from pydantic import Field

from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.message import Tensor
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
        ("keypoints", text_tensor("a", "b", "c"), "keypoints: expected an array of shape"),
    ],
)
def test_a_wrong_value_names_port_expectation_and_value(name, value, message):
    with pytest.raises(InvalidInput, match=message):
        PORTS[name].read(value)


def test_arrays_keep_their_dtype_and_are_plain_as_lists():
    port = Port("keypoints", Keypoints, True)
    array = port.read([[1, 2, 3]])
    assert array.dtype == np.float32
    assert port.plain(array) == [[1.0, 2.0, 3.0]]
    assert PORTS["controls"].plain({"a": How()}) == {"a": {"strength": 1.0}}
