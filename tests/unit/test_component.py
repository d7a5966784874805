import time
from typing import Annotated, Any, Literal, TypedDict

import numpy as np
import pydantic
import pytest
from pydantic import Field

from imagegraph.component import (
    Array,
    Combiner,
    Component,
    Port,
    Progress,
    Prompt,
    Router,
    Seed,
    Signature,
    Unit,
    Weights,
)
from imagegraph.errors import Cancelled, DeadlineExceeded, InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.message import Message, Tensor

PICTURE = Image.from_array(np.zeros((16, 16, 3), np.uint8))
Keypoints = Annotated[np.ndarray, Array("float32", (-1, 3))]


class How(pydantic.BaseModel, extra="forbid"):
    strength: Unit = 1.0


class Drawn(TypedDict):
    pictures: list[Image]
    seeds: list[int]


class Draw(Component):
    def predict(
        self,
        progress: Progress,
        prompt: Prompt,
        image: Image | None = None,
        steps: Annotated[int, Field(ge=1, le=200, description="Denoising steps")] = 30,
        seeds: list[Seed] | None = None,
        strength: Unit = 0.5,
        exact: bool = False,
        mode: Literal["fast", "good"] = "good",
        keypoints: Keypoints | None = None,
        controls: dict[str, How] = {},  # noqa: B006
        pictures: list[Image] | None = None,
    ) -> Drawn:
        return {"pictures": [], "seeds": []}


class Way(Router):
    def route(self, prompt: str) -> int:
        return 0


def text_tensor(*items: bytes | str) -> Tensor:
    return Tensor("BYTES", (len(items),), list(items))


@pytest.mark.parametrize(
    ("name", "datatype", "shape", "required"),
    [
        ("prompt", "BYTES", (1,), True),
        ("image", "BYTES", (1,), False),
        ("steps", "INT64", (1,), False),
        ("seeds", "INT64", (-1,), False),
        ("strength", "FP64", (1,), False),
        ("exact", "BOOL", (1,), False),
        ("mode", "BYTES", (1,), False),
        ("keypoints", "FP32", (-1, 3), False),
        ("controls", "BYTES", (1,), False),
        ("pictures", "BYTES", (-1,), False),
    ],
)
def test_the_annotations_are_the_schema(name, datatype, shape, required):
    port = Signature.of(Draw).inputs[name]
    assert (port.datatype, port.shape, port.required) == (datatype, shape, required)


def test_a_signature_has_outputs_progress_and_descriptions():
    signature = Signature.of(Draw())
    assert list(signature.outputs) == ["pictures", "seeds"]
    assert signature.progress == "progress"
    assert signature.inputs["steps"].description == "Denoising steps"
    assert signature.inputs["steps"].schema["maximum"] == 200
    assert signature.inputs["image"].holds_images
    assert signature.inputs["pictures"].holds_images
    assert list(Signature.of(Way).inputs) == ["prompt"]
    assert Signature.of(Combiner) == Signature({}, {})
    with pytest.raises(UnknownName, match="unknown port 'step'. *Did you mean 'steps'"):
        signature.port("step")


def test_a_signature_needs_annotations():
    class Bare(Component):
        def predict(self, image): ...

    class NoAnswer(Component):
        def predict(self, image: Image) -> dict: ...

    with pytest.raises(TypeError, match="parameter 'image' has no annotation"):
        Signature.of(Bare)
    with pytest.raises(TypeError, match="(return|answer) a TypedDict"):
        Signature.of(NoAnswer)


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
    read = Signature.of(Draw).inputs[name].read(value)
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("steps", 0, "steps: expected greater than or equal to 1, got 0"),
        ("steps", 10**6, "steps: expected less than or equal to 200, got 1000000"),
        ("steps", "many", "steps: expected a valid integer"),
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
        Signature.of(Draw).inputs[name].read(value)


def test_arrays_keep_their_dtype_and_are_plain_as_lists():
    port = Port("keypoints", Keypoints, True)
    array = port.read([[1, 2, 3]])
    assert array.dtype == np.float32
    assert port.plain(array) == [[1.0, 2.0, 3.0]]
    assert Signature.of(Draw).inputs["controls"].plain({"a": How()}) == {"a": {"strength": 1.0}}


def test_binding_takes_the_value_then_the_entrys_default_then_the_signatures():
    signature = Signature.of(Draw)
    bound = signature.bind({"prompt": "a", "steps": 3, "else": object()}, {"steps": 4, "strength": 0.1})
    assert (bound["prompt"], bound["steps"], bound["strength"], bound["mode"]) == ("a", 3, 0.1, "good")
    assert not {"else", "progress"} & bound.keys()
    with pytest.raises(InvalidInput, match="prompt: expected a value, got 'nothing'"):
        signature.bind({})


def test_a_combiner_unites_answers_by_default():
    assert Combiner().aggregate([Message({"a": 1}), Message({"b": 2})]) == {"a": 1, "b": 2}


def test_progress_reports_and_stops_work_nobody_waits_for():
    heard: list[Any] = []
    progress = Progress(lambda *report: heard.append(report))
    progress(1, 2)
    assert heard == [(1, 2, None)]
    progress.cancel()
    with pytest.raises(Cancelled):
        progress(2, 2)
    with pytest.raises(DeadlineExceeded):
        Progress(deadline=time.monotonic() - 1).check()


def test_weights_are_a_mapping_of_roles(tmp_path):
    weights = Weights({"base": tmp_path}, "cpu")
    assert (dict(weights), len(weights), "vae" in weights) == ({"base": tmp_path}, 1, False)
