import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import numpy as np
import pydantic
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydantic import Field

from imagegraph.cli.inputs import Reader, Request
from imagegraph.component import Component
from imagegraph.errors import InvalidDocument, InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.ports import Array
from imagegraph.spec import strict_yaml
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.interface import Interface


class Nothing(TypedDict):
    """No values."""


class Judge(Component):
    def predict(self, pictures: list[Image], prompt: str) -> Nothing: ...


class Blend(Component):
    def predict(self, above: Image, below: Image, part: float = 0.5) -> Nothing: ...


class Sort(Component):
    def predict(self, image: Image, texts: list[str], by: Literal["size", "name"] = "size") -> Nothing: ...


class Write(Component):
    def predict(self, title: str, text: str) -> Nothing: ...


class Cut(Component):
    def predict(
        self,
        image: Image,
        box: Annotated[NDArray[np.int64], Array("int64", (4,))],
        exact: bool = False,
        note: str = "",
    ) -> Nothing: ...


class Draw(Component):
    def predict(self, prompt: str | None = None, seed: int = 0, image: Image | None = None) -> Nothing: ...


class Steering(pydantic.BaseModel, extra="forbid"):
    strength: Annotated[float, Field(ge=0)]


class Steer(Component):
    def predict(self, prompt: str, how: dict[str, Steering] = {}) -> Nothing: ...  # noqa: B006


KINDS = (Judge, Blend, Sort, Write, Cut, Draw, Steer)


@pytest.fixture(autouse=True)
def photos() -> None:
    for name in ("a.png", "b.png", "c=1.png", "d,e.png"):
        Pillow.new("RGB", (32, 32), "red").save(name)
    Path("folder").mkdir()
    Path("empty").mkdir()
    Pillow.new("RGB", (32, 32), "blue").save("folder/f.PNG")


def read(kind: type[Component], *words: str, **named: list[str]) -> Request:
    entries = {
        one.__name__.lower(): {
            "component": f"{__name__}:{one.__name__}",
            "summary": "",
            "bundles": {"pocket": {}},
        }
        for one in KINDS
    }
    catalogue = strict_yaml.parse(
        strict_yaml.dump({"entries": entries, "graphs": {}}), Catalogue, "catalogue.yaml"
    )
    name = kind.__name__.lower()
    return Reader(name, Interface.of_entry(name, "pocket", catalogue)).read(words, named)


def paths(request: Request) -> list[str]:
    return [photo.path for photo in request.photos]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a.png"], ["a.png"]),
        (["a.png", "image=b.png"], ["a.png", "b.png"]),
        (["c=1.png"], ["c=1.png"]),
        (["d,e.png"], ["d,e.png"]),
        (["folder"], ["folder/f.PNG"]),
        (["[ab].png", "a.png"], ["a.png", "b.png"]),
        (["gone/g.jpg"], ["gone/g.jpg"]),
    ],
)
def test_files_folders_and_patterns_are_photos(words: list[str], expected: list[str]) -> None:
    request = read(Draw, *words)
    assert (request.port, paths(request)) == ("image", expected)
    assert request.several == (len(expected) > 1 or words == ["folder"])


@pytest.mark.parametrize(
    ("words", "prompt"),
    [
        (["a red cone"], "a red cone"),
        (["a", "red", "cone"], "a red cone"),
        (["a red cone = a cone"], "a red cone = a cone"),
        (["prompt=a.png"], "a.png"),
        (["5"], "5"),
    ],
)
def test_words_are_for_the_text_that_is_meant(words: list[str], prompt: str) -> None:
    assert read(Draw, *words).values == {"prompt": prompt}


def test_options_and_names_say_the_same() -> None:
    assert read(Draw, "seed=7").values == read(Draw, seed=["7"]).values == {"seed": "7"}
    with pytest.raises(InvalidInput, match="seed: expected one value, got .*'8'"):
        read(Draw, "seed=8", seed=["7"])


def test_what_must_be_given_gets_what_has_no_name() -> None:
    judged = read(Judge, "a.png", "folder", "a red cone")
    assert judged.photos == []
    assert [one.size for one in judged.values["pictures"]] == [(32, 32)] * 2
    assert judged.values["prompt"] == "a red cone"
    sorted_ = read(Sort, "a.png", "a cat", "a dog", "by=name")
    assert sorted_.values == {"texts": ["a cat", "a dog"], "by": "name"}
    assert read(Sort, "a.png", "texts=a cat,a dog").values == {"texts": ["a cat", "a dog"]}


def test_pictures_by_name_are_no_photos_of_their_own() -> None:
    request = read(Blend, "above=a.png", "below=b.png")
    assert not request.photos
    assert {name: type(value) for name, value in request.values.items()} == {"above": Image, "below": Image}


def test_arrays_are_json_and_switches_words() -> None:
    values = read(Cut, "a.png", "box=[1, 2, 3, 4]", "exact=yes").values
    assert values == {"box": "[1, 2, 3, 4]", "exact": "yes"}


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        (Blend, ["a.png"], "above or below: expected NAME=VALUE, to say which of them is meant, got 'a.png'"),
        (Write, ["some words"], "title or text: expected NAME=VALUE, to say which of them is meant"),
        (Draw, ["a cone", "a cube"], "prompt: expected one value, got .*'a cube'"),
        (Write, ["a.png"], "inputs: expected what 'write' takes .title, text., got 'a.png'"),
        (Sort, ["phto", "by=size"], "image: expected a photo: .* got .no file of the name 'phto'"),
        (Cut, ["a.png", "box=[1, 2"], "box: "),
        (Cut, ["a.png", "box=[1, 2]"], r"box: expected an array of shape \[4\]"),
        (Draw, ["folder/gone/*.png"], "image: expected a pattern that fits pictures.*which fits none"),
        (Draw, ["empty"], "image: expected a folder with pictures .*, got 'empty, a folder without any'"),
        (Draw, ["image="], "image: expected a file with a picture, got 'no name'"),
        (Blend, ["above=*.png", "below=a.png"], "above: expected one picture, got '5 in"),
        (Sort, ["a.png", "x", "by=colour"], "by: expected 'size' or 'name'"),
    ],
)
def test_what_cannot_be_meant_is_said(kind: type[Component], words: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(kind, *words)


def test_a_misspelt_name_is_said_with_the_right_one() -> None:
    with pytest.raises(UnknownName, match="unknown input 'sed'. Did you mean 'seed'"):
        read(Draw, "sed=7")


def pipe(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("words", [["-"], ["image=-"]])
def test_a_photo_that_is_piped_in_is_one(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path("a.png").read_bytes()
    pipe(data, monkeypatch)
    (photo,) = read(Draw, *words).photos
    assert (photo.stem, photo.read("image").data) == ("", data)


def test_what_is_piped_in_is_words_where_it_is_no_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe("ein Würfel\n".encode(), monkeypatch)
    assert read(Draw, "-").values == {"prompt": "ein Würfel"}
    pipe(b"\xff\xfe", monkeypatch)
    with pytest.raises(InvalidInput, match="a picture, or text in UTF-8"):
        read(Draw, "-")
    pipe(b"no picture", monkeypatch)
    with pytest.raises(InvalidInput, match="image: expected a JPEG, PNG or WebP picture"):
        read(Sort, "-", "texts=x").photos[0].read("image")


def test_values_are_checked_before_anything_is_done() -> None:
    wrong: dict[str, Any] = {"seed": ["x"]}
    with pytest.raises(InvalidInput, match="seed: expected a valid integer"):
        read(Draw, "gone.png", **wrong)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a cone,a cube", ["a cone", "a cube"]),
        ('["a cone, red", "a cube"]', ["a cone, red", "a cube"]),
        ("[a cone", ["[a cone"]),
    ],
)
def test_a_list_is_said_by_commas_or_as_json(text: str, items: list[str]) -> None:
    assert read(Sort, "a.png", f"texts={text}").values["texts"] == items


def test_what_takes_json_takes_a_file_of_it_too() -> None:
    Path("how.yaml").write_text("# mine\ndepth:\n  strength: 0.5\n")
    Path("how.json").write_text('{"depth": {"strength": 0.5}}')
    for text in ("how.yaml", "how.json", '{"depth": {"strength": 0.5}}'):
        value = read(Steer, "a cone", f"how={text}").values["how"]
        assert (value if isinstance(value, dict) else json.loads(value)) == {"depth": {"strength": 0.5}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("depth:\n  strength: 1\n  strenght: 2\n", r"how.yaml:3: depth.strenght: unknown key"),
        ("depth:\n  strength: -1\n", r"how.yaml:2: depth.strength: .*greater than or equal to 0, got -1"),
        ("depth: [\n", r"how.yaml:2: not YAML"),
        ("", r"how.yaml:1: the document is empty"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_line(text: str, said: str) -> None:
    Path("how.yaml").write_text(text)
    with pytest.raises(InvalidDocument, match=said):
        read(Steer, "a cone", "how=how.yaml")


def test_a_file_that_is_not_there_is_named() -> None:
    expected = r"how: expected a file in YAML or JSON, got 'gone.yaml \(No such file or directory\)'"
    with pytest.raises(InvalidInput, match=expected):
        read(Steer, "a cone", "how=gone.yaml")
    Path("how.json").write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match=r"how: expected a file in YAML or JSON, got .how.json \("):
        read(Steer, "a cone", "how=how.json")
