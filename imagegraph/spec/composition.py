"""One catalogue made of several documents: what is added to the project's own, and what entries inherit.

A document adds its entries, graphs and priors to those of the documents before it. The project's own stands
before all others, unless one of them says `base: none`. Paths in an added document are relative to it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from imagegraph.errors import UnknownName
from imagegraph.spec import strict_yaml
from imagegraph.spec.strict_yaml import Document, Model
from imagegraph.spec.weights import ROOT

DEFAULT_PATH = ROOT / "components" / "catalogue.yaml"
VARIABLE = "IMAGEGRAPH_CATALOGUE"
PRIORS = "priors"
# What an entry that is like another one changes key by key; all else it replaces as a whole.
BY_KEY = ("weights", "settings", "defaults", "resources")


def added(paths: Sequence[Path] = ()) -> list[Path]:
    """Returns the documents that IMAGEGRAPH_CATALOGUE lists, separated as in PATH, and those given."""
    listed = os.environ.get(VARIABLE, "").split(os.pathsep)
    return [*(Path(one) for one in listed if one), *paths]


def load(paths: Sequence[Path]) -> Catalogues:
    """Reads documents and, before them, the project's own unless one of them wants no base.

    Raises:
        InvalidDocument: as `strict_yaml.load`, or `base` says something else.
    """
    documents = {path.absolute(): strict_yaml.load(path) for path in paths}
    if not any([_stands_alone(document) for document in documents.values()]):
        documents = {DEFAULT_PATH: strict_yaml.load(DEFAULT_PATH), **documents}
    return Catalogues([_Part(document, path.parent) for path, document in documents.items()])


def _stands_alone(document: Document) -> bool:
    base = document.data.get("base") if isinstance(document.data, dict) else None
    if base not in (None, "none"):
        raise document.fault(["base"], f"expected none, or no such key, got {base!r}")
    return base is not None


class _Part(NamedTuple):
    """A document, and the folder to which its paths are relative."""

    document: Document
    folder: Path

    def names(self, key: str) -> Mapping[str, Any]:
        """The entries or the graphs of the document, as far as they are some."""
        found = self.document.data.get(key) if isinstance(self.document.data, dict) else None
        return found if isinstance(found, dict) else {}

    def components(self) -> Iterator[tuple[list[str | int], str]]:
        """Yields the classes that its entries name, with where they stand."""
        for name, entry in self.names("entries").items():
            bundles = entry.get("bundles") if isinstance(entry, dict) else None
            variants = bundles.items() if isinstance(bundles, dict) else ()
            at = ["entries", name]
            for keys, one in ((at, entry), *(([*at, "bundles", key], each) for key, each in variants)):
                if isinstance(one, dict) and isinstance(one.get("component"), str):
                    yield [*keys, "component"], one["component"]


@dataclass(frozen=True)
class Catalogues:
    """The documents of a catalogue, the project's own first."""

    parts: Sequence[_Part]

    def find_modules(self) -> None:
        """Lets the modules beside the documents that were added be found, after all others.

        Raises:
            InvalidDocument: with file and line: an entry means a module beside its document, but another one
                of that name is found before it.
        """
        added = [part for part in self.parts if part.folder != DEFAULT_PATH.parent]
        for part in added:
            if str(part.folder) not in sys.path:
                sys.path.append(str(part.folder))
        for part in added:
            for at, component in part.components():
                module = component.partition(":")[0]
                beside = _file_beside(part.folder, module)
                if beside and (found := _found(module)) != beside:
                    said = f"expected the module {beside}, but {found} has its name: call it otherwise"
                    raise part.document.fault(at, said)

    def read(self, model: type[Model]) -> Model:
        """Makes one catalogue of them.

        Raises:
            InvalidDocument: with file and line: a name is there twice, an entry is like none that there is
                or like itself, or it is not what `model` describes.
        """
        others: dict[str, Any] = {}
        priors: list[Any] = []
        for part in self.parts:
            if not isinstance(part.document.data, dict):
                raise part.document.fault([], "expected entries and graphs")
            for key, value in part.document.data.items():
                if key == PRIORS and isinstance(value, list):
                    for place, prior in enumerate(value):
                        if not isinstance(prior, str):
                            raise part.document.fault([PRIORS, place], f"expected a name, got {prior!r}")
                        if prior in priors:
                            raise part.document.fault([PRIORS, place], f"{prior} is a prior already")
                        priors.append(prior)
                elif key != "base" and (
                    key not in ("entries", "graphs") or not isinstance(value, dict | None)
                ):
                    others[key] = value  # it is for the model to refuse
        entries = _Entries(self.parts)
        data = {
            PRIORS: priors,
            "entries": {name: _using(entries.entry(name), priors) for name in entries.definitions},
            "graphs": _spread(self._graphs(), priors),
        }
        return strict_yaml.checked(data | others, model, [part.document for part in self.parts])

    def apart(self, model: type[Model]) -> list[Model]:
        """Makes a model of each document by itself: nothing is inherited, and names may stand in several.

        Raises:
            InvalidDocument: with file and line: one is not what `model` describes.
        """
        found = []
        for part in self.parts:
            entries = {name: _at_home(said, part.folder) for name, said in part.names("entries").items()}
            found.append(strict_yaml.checked({"entries": entries}, model, [part.document]))
        return found

    def _graphs(self) -> dict[str, Any]:
        graphs: dict[str, Any] = {}
        for index, part in enumerate(self.parts):
            for name, graph in part.names("graphs").items():
                if name in graphs:
                    (first,) = [one for one in self.parts[:index] if name in one.names("graphs")]
                    where = first.document.source
                    raise part.document.fault(
                        ["graphs", name], f"{where} has a graph of that name: call it otherwise"
                    )
                graphs[name] = graph
        return graphs


def _file_beside(folder: Path, module: str) -> Path | None:
    """Returns the file of a module or package that is in a folder."""
    path = folder.joinpath(*module.split("."))
    files = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    return next((file.resolve() for file in files if file.is_file()), None)


def _found(module: str) -> Path | str:
    """Returns the file of the module that is imported by a name, or what else it is."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return "another one"
    if spec is None or not spec.has_location or not spec.origin:
        return "one of Python's own"
    return Path(spec.origin).resolve()


class _Definition(NamedTuple):
    """What a document says of an entry."""

    document: Document
    name: str
    said: Any

    @property
    def like(self) -> str | None:
        like = self.said.get("like") if isinstance(self.said, dict) else None
        return None if like is None else str(like)


class _Entries:
    """The entries of several documents, with what they inherit."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        """Takes the documents.

        Raises:
            InvalidDocument: two have an entry of one name, and the later one does not say that it changes it.
        """
        self.definitions: dict[str, list[_Definition]] = {}
        for part in parts:
            for name, said in part.names("entries").items():
                one = _Definition(part.document, name, _at_home(said, part.folder))
                if name in self.definitions and one.like != name:
                    where = self.definitions[name][0].document.source
                    raise part.document.fault(
                        ["entries", name],
                        f"{where} has an entry of that name: "
                        f"call it otherwise, or say `like: {name}` to change it",
                    )
                self.definitions.setdefault(name, []).append(one)
        self._done: dict[str, Any] = {}

    def entry(self, name: str, above: tuple[str, ...] = ()) -> Any:
        """Returns all that holds for an entry.

        Args:
            above: the entries that are like it, whose turn it is.

        Raises:
            InvalidDocument: it is like none that there is, or like itself.
        """
        if name not in self._done:
            first, *changes = self.definitions[name]
            said = first.said
            if first.like is not None:
                said = _changed(self._model(first, (*above, name)), said)
            for change in changes:
                said = _changed(said, change.said)
            self._done[name] = said
        return self._done[name]

    def _model(self, one: _Definition, above: tuple[str, ...]) -> Any:
        at = ["entries", one.name, "like"]
        like = str(one.like)
        if like not in self.definitions:
            raise one.document.fault(at, str(UnknownName("entry", like, self.definitions)))
        if like in above:
            circle = [*above[above.index(like) :], like]
            raise one.document.fault(at, f"a circle: {' is like '.join(circle)}")
        return self.entry(like, above)


def _changed(model: Any, said: Any) -> Any:
    """Returns what holds for an entry that is like another: bundle by bundle, and there key by key."""
    if not isinstance(model, dict):
        return said
    own = {key: value for key, value in said.items() if key != "like"}
    bundles = _joined(model.get("bundles"), own.get("bundles", {}), _changed_variant)
    return {**model, **own, "bundles": bundles}


def _changed_variant(model: Any, said: Any) -> Any:
    if not isinstance(model, dict) or not isinstance(said, dict):
        return said
    parts = {
        key: _joined(model[key], said[key], lambda _, one: one)
        for key in BY_KEY
        if key in model and key in said
    }
    return {**model, **said, **parts}


def _joined(model: Any, said: Any, change: Any) -> Any:
    """Joins two mappings: what is in both is changed, and what is said to be null is left out."""
    if not isinstance(model, dict) or not isinstance(said, dict):
        return said
    changed = {key: change(model[key], value) if key in model else value for key, value in said.items()}
    return {key: value for key, value in {**model, **changed}.items() if value is not None or key not in said}


def _at_home(said: Any, folder: Path) -> Any:
    """Makes absolute the paths that an added document gives: those of weights, and files of smoke inputs."""
    if folder == DEFAULT_PATH.parent or not isinstance(said, dict):
        return said
    home = folder.resolve()

    def source(one: Any) -> Any:
        if isinstance(one, dict) and isinstance(one.get("path"), str):
            return {**one, "path": str(home / one["path"])}
        return one

    def variant(one: Any) -> Any:
        if isinstance(one, dict) and isinstance(one.get("weights"), dict):
            return {**one, "weights": {role: source(each) for role, each in one["weights"].items()}}
        return one

    def file(one: Any) -> Any:
        # Others may be the project's, whose paths are relative to the project; or no files at all.
        return str(home / one) if isinstance(one, str) and (home / one).is_file() else one

    found = dict(said)
    if isinstance(said.get("bundles"), dict):
        found["bundles"] = {name: variant(one) for name, one in said["bundles"].items()}
    if isinstance(said.get("smoke"), dict):
        found["smoke"] = {
            port: [file(item) for item in one] if isinstance(one, list) else file(one)
            for port, one in said["smoke"].items()
        }
    return found


def _using(entry: Any, priors: Sequence[Any]) -> Any:
    """Puts the priors where an entry uses the word `priors`, by itself or in a list."""
    if not isinstance(entry, dict):
        return entry
    listed = [PRIORS] if entry.get("uses") == PRIORS else entry.get("uses")
    if not isinstance(listed, list):
        return entry
    names = [one for item in listed for one in (priors if item == PRIORS else [item])]
    return {**entry, "uses": {name: name for name in names}}


def _spread(part: Any, priors: Sequence[Any]) -> Any:
    """Returns a part of a document with one node for each prior where a list of children has the word."""
    if isinstance(part, dict):
        return {key: _spread(value, priors) for key, value in part.items()}
    if isinstance(part, list):
        spread = ([{"name": one} for one in priors] if item == PRIORS else [item] for item in part)
        return [_spread(one, priors) for items in spread for one in items]
    return part
