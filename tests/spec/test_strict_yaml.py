from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from imagegraph.errors import InvalidDocument
from imagegraph.spec import strict_yaml
from imagegraph.spec.strict_yaml import Strict


class Part(Strict):
    size: int = 1
    note: str = ""


class Page(Strict):
    name: str
    parts: tuple[Part, ...] = ()
    any: Mapping[str, Any] = {}


def test_a_right_document_is_read():
    assert strict_yaml.parse("name: a\nparts: [{size: 2}]", Page, "f").parts == (Part(size=2),)


class Book(Strict):
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]


def test_a_list_of_wrong_items_is_not_called_too_short_as_well():
    with pytest.raises(InvalidDocument) as caught:
        strict_yaml.parse("parts:\n  - size: big", Book, "f")
    assert str(caught.value).startswith("f:2: parts.0.size: ")
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InvalidDocument, match="f:1: parts: Tuple should have at least 1 item"):
        strict_yaml.parse("parts: []", Book, "f")


LAUGHS = "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]" for n in range(1, 9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f:1: the document is empty"),
        ("name: a\nparts: [", "f:2: not YAML"),
        ("name: a\nsize: 1", "f:2: size: unknown key"),
        ("name: a\nname: b", "f:2: key 'name' stands twice"),
        ("name: a\nany:\n  x: 1\n  x: 2", "f:4: key 'x' stands twice"),
        ("parts: []", "f:1: name: Field required"),
        ("name: a\nparts:\n  - size: 1\n  - size: big", "f:4: parts.1.size: .*got 'big'"),
        ("name: a\nparts:\n  - size: 1\n  - note:\n      deep: 1", "f:4: parts.1.note"),
        ("name: a\nwrong:\n  deep:\n    er: 1", "f:2: wrong: unknown key"),
        ("name: a\nany: &a\n  self: *a", "f:3: a cycle|f:2: a cycle"),
        ("name: a\nany: {x: &a [*a]}", "f:2: a cycle"),
        ("? [a]\n: 1", "f:1: a key must be text"),
        ("name: !!python/object:os.system x", "f:1: not YAML: could not determine a constructor"),
        ("name: a\nany: {day: 2020-13-45}", "not YAML: month must be in"),
        ("name: a\nany: {n: !!int x}", "not YAML"),
        ("name: \x00", "not YAML"),
        ("--- {name: a}\n--- {name: b}", "f:2: not YAML"),
        ("[" * 5000, "not YAML"),
        ("- name", "f:1: .*valid dictionary"),
        (LAUGHS, "unknown key"),
    ],
)
def test_a_wrong_document_names_file_and_line(text, message):
    with pytest.raises(InvalidDocument, match=message):
        strict_yaml.parse(text, Page, "f")


def test_every_fault_is_told_at_once():
    with pytest.raises(InvalidDocument, match="(?s)f:2: wrong.*f:3: parts.0.size"):
        strict_yaml.parse("name: a\nwrong: 1\nparts: [{size: x}]", Page, "f")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content):
    path = tmp_path / "page.yaml"
    if content:
        path.write_bytes(content)
    with pytest.raises(InvalidDocument, match="page.yaml:1: "):
        strict_yaml.read(path, Page)


def test_dump_writes_kubernetes_style_without_aliases():
    part = {"size": 1}
    text = strict_yaml.dump({"b": [part, part], "a": "ä"})
    assert text == "b:\n  - size: 1\n  - size: 1\na: ä\n"
    assert yaml.safe_load(text) == {"b": [part, part], "a": "ä"}
