"""Versions: all that computes an answer changes them, and nothing else does."""

import asyncio
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from imagegraph.calls.in_process import LocalCall
from imagegraph.component import Component, Weights
from imagegraph.spec import version
from imagegraph.spec.catalogue import ROOT, Catalogue
from tests import tiny

KIND = """
from typing import TypedDict
from imagegraph.component import Component
class Answer(TypedDict):
    number: int
class One(Component):
    def predict(self, number: int) -> Answer: ...
class Other(One): ...
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes files and imports the module or package `weave` anew."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(files: dict[str, str]) -> ModuleType:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        monkeypatch.delitem(sys.modules, "weave", raising=False)
        version._source.cache_clear()
        importlib.invalidate_caches()
        return importlib.import_module("weave")

    return load


@pytest.mark.parametrize(
    ("own", "beside"), [("weave.py", "yarn.py"), ("weave/__init__.py", "weave/data.json")]
)
def test_the_code_and_what_lies_beside_it_count(modules: Any, own: str, beside: str) -> None:
    first, again, changed, other = (
        version.version(modules(files).One, {})
        for files in (
            {own: KIND, beside: "1"},
            {own: KIND, beside: "1"},
            {own: KIND + "# changed", beside: "1"},
            {own: KIND, beside: "2"},
        )
    )
    assert first == again
    assert len({first, changed, other}) == 3
    assert version.read(first) == first


def test_class_and_facts_count(modules: Any) -> None:
    kinds = modules({"weave.py": KIND})
    facts: list[dict[str, Any]] = [{}, {"device": "cpu"}, {"device": "cuda"}, {"size": 1}, {"size": "1"}]
    versions = {version.version(kind, one) for kind in (kinds.One, kinds.Other) for one in facts}
    assert len(versions) == 2 * len(facts)


def test_what_is_installed_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = tmp_path / "torch-2.0.dist-info" / "RECORD"
    record.parent.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    versions = set()
    for hashes in ("torch/a.py,sha256=1,9", "torch/a.py,sha256=2,9"):
        record.write_text(hashes)
        version._installed.cache_clear()
        versions.add(version.version(tiny.Double, {}))
    version._installed.cache_clear()
    assert len(versions) == 2


def test_code_that_lies_in_no_file_and_facts_without_a_hash_have_no_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = ModuleType("typed_in")
    monkeypatch.setitem(sys.modules, "typed_in", made)
    kind = type("Typed", (Component,), {"__module__": "typed_in"})
    assert version.version(kind, {}) == ""
    assert version.version(tiny.Double, {"at": object()}) == ""


@pytest.mark.parametrize(
    "said", ["1", "", None, 7, "sha256:12", "sha256:" + "g" * 64, ["sha256:" + "a" * 64]]
)
def test_only_a_hash_is_a_version_that_promises_equal_answers(said: Any) -> None:
    assert version.read(said) == ""


class Impure(Component):
    pure = False

    def predict(self, number: int) -> tiny.Number: ...


ENTRIES = """
entries:
  double: {{component: tests.tiny:Double, summary: s, bundles: {{pocket: {{weights: {{model: {model}}}}}}}}}
  user: {{component: tests.tiny:User, summary: s, uses: {{twice: double}}, bundles: {{pocket: {{}}}}}}
  impure: {{component: tests.spec.test_version:Impure, summary: s, bundles: {{pocket: {{}}}}}}
  heir: {{component: tests.tiny:User, summary: s, uses: {{twice: impure}}, bundles: {{pocket: {{}}}}}}
  add:
    component: tests.tiny:Add
    summary: s
    bundles: {{pocket: {{settings: {{addend: {addend}}}, defaults: {{number: {number}}}}}}}
graphs: {{}}
"""


def versions(folder: Path, model: str = "tests", **facts: int) -> dict[str, str]:
    """Returns the versions of all entries as they are loaded."""
    written = ENTRIES.format(model=f"{{path: {ROOT / model}}}", **{"addend": 1, "number": 2, **facts})
    known: Catalogue = tiny.catalogue(folder, written)
    with LocalCall(known, "pocket", known.entries, "cpu") as call:
        asyncio.run(call.ready())
        return dict(call.versions)


def test_weights_also_of_used_entries_settings_and_defaults_count(tmp_path: Path) -> None:
    base = versions(tmp_path)

    def changed(**facts: Any) -> set[str]:
        now = versions(tmp_path, **facts)
        return {name for name in base if now[name] != base[name]}

    assert changed() == set()
    assert changed(model="docs") == {"double", "user"}
    assert changed(addend=2) == {"add"}
    assert changed(number=3) == {"add"}
    assert base["impure"] == base["heir"] == "", "what uses the impure is impure"


def test_the_device_counts_that_a_component_has_looked_for(tmp_path: Path) -> None:
    entry = tiny.catalogue(tmp_path).entry("double")

    def loaded(choice: str, asked: str | None) -> str:
        weights = Weights({}, choice)
        if asked:
            vars(weights)["device"] = asked  # as asking does, without a torch that knows it
        return entry.version("pocket", weights, {})

    assert loaded("auto", "cpu") == loaded("cpu", None)
    assert len({loaded("auto", "cpu"), loaded("auto", "cuda"), loaded("auto", None)}) == 3
