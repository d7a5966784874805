"""The catalogue: entries, bundles and graphs, read strictly from `components/catalogue.yaml`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import pydantic
from pydantic import Field

from imagegraph.component import Combiner, Component, Router, Weights
from imagegraph.errors import InvalidDocument, MissingWeights, UnknownName
from imagegraph.image import Image
from imagegraph.ports import Port
from imagegraph.signature import Signature
from imagegraph.spec import composition
from imagegraph.spec.composition import DEFAULT_PATH as DEFAULT_PATH
from imagegraph.spec.graph import Name, Node, NodeType
from imagegraph.spec.strict_yaml import Misplaced, Strict
from imagegraph.spec.version import version
from imagegraph.spec.weights import ROOT as ROOT
from imagegraph.spec.weights import Source


class Resources(Strict):
    """What one replica asks of a cluster."""

    cpu: Annotated[float, Field(gt=0)] = 1
    memory_gib: Annotated[float, Field(gt=0)] = 1


ImportString = Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]


class Variant(Strict):
    """An entry in one bundle: its weights by role, settings of the class and defaults of ports.

    Attributes:
        component: its class in this bundle, where that is not the entry's; it has no other ports.
        summary: what it is in this bundle, where that is not what the entry says.
        watchdog_s: longest that it may compute without an answer or a step of progress, before its process
            says that it is not alive any more; None is for ever.
    """

    component: ImportString | None = None
    summary: str | None = None
    weights: Mapping[str, Source] = {}
    settings: Mapping[str, Any] = {}
    defaults: Mapping[str, Any] = {}
    resources: Resources = Resources()
    watchdog_s: Annotated[float, Field(gt=0)] | None = None


class Entry(Strict):
    """A component's line in the catalogue."""

    component: ImportString
    summary: str
    pool: Literal["cpu", "gpu"] = "cpu"
    uses: Mapping[str, Name] = {}
    smoke: Mapping[str, Any] = {}
    bundles: Annotated[Mapping[Name, Variant], Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _roles_are_read(self) -> Self:
        for bundle, variant in self.bundles.items():
            try:
                kind = self.kind_in(bundle)
            except InvalidDocument as error:
                raise ValueError(str(error)) from error
            for role, source in variant.weights.items():
                if source.kind in ("base", "vae"):
                    if role not in kind.roles:
                        raise ValueError(str(UnknownName(f"role (bundle '{bundle}')", role, kind.roles)))
                elif source.kind != kind.opens and not (source.kind == "adapter" and kind.adapts):
                    name = kind.__name__
                    raise ValueError(f"bundle '{bundle}', role '{role}': {name} takes no {source.kind}")
        return self

    @cached_property
    def kind(self) -> type[Component]:
        """The component's class; importing it costs little, heavy imports wait for `load`."""
        return imported(self.component)

    def variant(self, bundle: str) -> Variant:
        """Returns the entry's variant in `bundle`.

        Raises:
            UnknownName: the entry does not exist in that bundle.
        """
        if bundle not in self.bundles:
            raise UnknownName("bundle", bundle, self.bundles)
        return self.bundles[bundle]

    def kind_in(self, bundle: str) -> type[Component]:
        """Returns the component's class in a bundle: that of the variant, or the entry's."""
        component = self.variant(bundle).component
        return imported(component) if component else self.kind

    def smoke_values(self, signature: Signature) -> dict[str, Any]:
        """Returns an input that the entry can answer, with the pictures read from their files."""

        def read(name: str, value: Any) -> Any:
            if not signature.port(name).holds_images:
                return value
            if isinstance(value, list):
                return [Image((ROOT / path).read_bytes()) for path in value]
            return Image((ROOT / value).read_bytes())

        return {name: read(name, value) for name, value in self.smoke.items()}

    def build(self, bundle: str, uses: Mapping[str, Component]) -> Component:
        """Makes the component, without its weights; `uses` are the other components it calls."""
        settings = dict(self.variant(bundle).settings)
        if self.uses:
            settings["uses"] = uses
        return self.kind_in(bundle)(**settings)

    def weights(self, bundle: str, device: str) -> Weights:
        """Finds the weights on this machine.

        Raises:
            MissingWeights: says what brings them here.
        """
        folders: dict[str, Path] = {}
        for role, source in self.variant(bundle).weights.items():
            try:
                folders[role] = source.folder()
            except MissingWeights as error:
                remedy = f"pull them: model-init pull --bundle {bundle}"
                if source.project_folder:
                    remedy = "bring that folder back, by git lfs pull where it is a checkout"
                raise MissingWeights(f"{error}; {remedy}") from error
        return Weights(folders, device, frozenset(_adapters(self.variant(bundle).weights)))

    def version(self, bundle: str, weights: Weights, uses: Mapping[str, str]) -> str:
        """Returns the version of the component as it is loaded, or nothing where it has none.

        Args:
            weights: with which it was loaded.
            uses: versions of the other components that it calls, by role; nothing of one is nothing of all.
        """
        kind = self.kind_in(bundle)
        if not kind.pure or not all(uses.values()):
            return ""
        variant = self.variant(bundle)
        facts = {
            # Whoever computes on a device has looked for it by now; for the others it is all the same.
            "device": vars(weights).get("device", weights.choice),
            "weights": {role: source.version for role, source in variant.weights.items()},
            "settings": variant.settings,
            "defaults": variant.defaults,
            "uses": uses,
        }
        return version(kind, facts)


def _adapters(sources: Mapping[str, Source]) -> list[str]:
    return [role for role, source in sources.items() if source.kind == "adapter"]


def imported(component: str) -> type[Component]:
    """Returns the class that an import string names.

    Raises:
        InvalidDocument: there is none, or it is no component.
    """
    module, _, name = component.partition(":")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidDocument(f"'{component}' cannot be imported: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Component)):
        raise InvalidDocument(f"'{component}' is not a Component")
    return kind


class Parts(NamedTuple):
    """What an entry has where it runs: defaults; roles of weights but adapters, and of what it uses."""

    defaults: Mapping[str, Any]
    roles: Set[str]


class Graph(Strict):
    """A named graph of the catalogue."""

    summary: str
    root: Node


class Catalogue(Strict):
    """All that the project can run; the one list of names."""

    priors: tuple[Name, ...] = ()
    entries: Mapping[Name, Entry]
    graphs: Mapping[Name, Graph]

    @pydantic.model_validator(mode="after")
    def _names_exist(self) -> Self:
        for index, prior in enumerate(self.priors):
            if prior not in self.entries:
                raise Misplaced(["priors", index], str(UnknownName("prior", prior, self.entries)))
        for name, entry in self.entries.items():
            at = ["entries", name, "uses"]
            for other in entry.uses.values():
                if other not in self.entries:
                    raise Misplaced(at, str(UnknownName("entry", other, self.entries)))
                lacking = sorted(entry.bundles.keys() - self.entries[other].bundles)
                # Whoever takes any number of others uses, in each bundle, those that exist there.
                if lacking and entry.kind.opens != "uses":
                    raise Misplaced(at, f"'{other}' does not exist in bundle '{lacking[0]}'")
        for name, item in self.graphs.items():
            for node in item.root.walk():
                if node.entry not in self.entries:
                    what = f"entry (node '{node.name}')"
                    raise Misplaced(["graphs", name], str(UnknownName(what, node.entry, self.entries)))
        return self

    @pydantic.model_validator(mode="after")
    def _nothing_uses_itself(self) -> Self:
        for name in self.entries:
            if name in self.with_uses(self.entries[name].uses.values()):
                raise Misplaced(["entries", name, "uses"], f"'{name}' uses itself")
        return self

    @classmethod
    def read(cls, added: Sequence[Path] = ()) -> Catalogue:
        """Reads and checks the project's catalogue, with what is added to it; see `composition`.

        Components are found beside the documents that are added, too.

        Args:
            added: documents, after those that IMAGEGRAPH_CATALOGUE lists.

        Raises:
            InvalidDocument: with file and line.
        """
        documents = composition.load(composition.added(added))
        for folder in map(str, documents.folders):
            if folder not in sys.path:
                sys.path.append(folder)  # last: nothing that is found without it changes
        return documents.read(cls)

    def entry(self, name: str) -> Entry:
        """Returns the entry of that name.

        Raises:
            UnknownName: lists the entries.
        """
        if name not in self.entries:
            raise UnknownName("entry", name, self.entries)
        return self.entries[name]

    def graph(self, name: str) -> Graph:
        """Returns the graph of that name; an entry's name stands for a graph of that one node.

        Raises:
            UnknownName: lists graphs and entries.
        """
        if name in self.graphs:
            return self.graphs[name]
        if name in self.entries:
            return Graph(summary=self.entries[name].summary, root=Node(name=name))
        raise UnknownName("graph or component", name, [*self.graphs, *self.entries])

    def signature(self, name: str, bundle: str) -> Signature:
        """Returns the ports of an entry; the names of its open ones are those of the bundle.

        Raises:
            UnknownName: the entry does not exist, or not in that bundle.
        """
        entry = self.entry(name)
        kind = entry.kind_in(bundle)
        signature = Signature.of(kind)
        if kind.opens is None and not kind.adapts:
            return signature
        sources = entry.variant(bundle).weights
        if kind.opens == "uses":
            answers = [self.signature(other, bundle).outputs for other in self.uses(name, bundle).values()]
            ports = {
                port: replace(one, required=False) for outputs in answers for port, one in outputs.items()
            }
        else:
            opened = [role for role, source in sources.items() if source.kind == kind.opens]
            ports = {role: Port(role, signature.open, False) for role in opened}
        return signature.closed(ports, _adapters(sources))

    def signatures(self, root: Node, bundle: str) -> dict[str, Signature]:
        """Returns the signature of every entry that the graph names.

        Raises:
            UnknownName: an entry does not exist.
            InvalidDocument: an entry cannot do what its node's type asks for.
        """
        for node in root.walk():
            kind = self.entry(node.entry).kind
            fitting = {NodeType.COMBINER: Combiner, NodeType.ROUTER: Router}
            for type_, base in fitting.items():
                if issubclass(kind, base) != (node.type is type_):
                    raise InvalidDocument(
                        f"node '{node.name}' is a {node.type}, but '{node.entry}' is a {kind.__name__}, "
                        f"{'' if issubclass(kind, base) else 'no '}{base.__name__}"
                    )
        return {node.entry: self.signature(node.entry, bundle) for node in root.walk()}

    def uses(self, name: str, bundle: str | None) -> Mapping[str, str]:
        """Returns what an entry uses in a bundle, by role: the other entries that exist there."""
        uses = self.entry(name).uses
        return {
            role: other
            for role, other in uses.items()
            if bundle is None or bundle in self.entries[other].bundles
        }

    def with_uses(self, names: Iterable[str], bundle: str | None = None) -> list[str]:
        """Returns the entries and all that they use, each once, what is used before who uses it.

        Args:
            bundle: in which they use it; what exists in no other is left out.
        """
        found: dict[str, None] = {}
        above: list[str] = []

        def visit(name: str) -> None:
            if name not in found and name not in above:
                above.append(name)
                for other in self.uses(name, bundle).values():
                    visit(other)
                found[above.pop()] = None

        for name in names:
            visit(name)
        return list(found)

    def needed(self, root: Node, elsewhere: Container[str] = ()) -> list[str]:
        """Returns the entries that a process has to load to run a graph, what is used before who uses it.

        An entry uses others where the graph has them, also those whose own nodes are elsewhere.

        Args:
            elsewhere: names of nodes that run in other processes.
        """
        graph = entry_names(root)
        return [name for name in self.with_uses(entry_names(root, elsewhere)) if name in graph]

    def parts(self, root: Node, bundle: str, elsewhere: Container[str] = ()) -> dict[str, Parts]:
        """Returns what every entry of the graph has that exists in the bundle.

        Args:
            elsewhere: names of nodes that run in other processes, with all that they use.
        """
        graph = entry_names(root)
        found: dict[str, Parts] = {}
        for node in root.walk():
            entry = self.entry(node.entry)
            if bundle in entry.bundles:
                variant = entry.bundles[bundle]
                alone = node.name in elsewhere
                uses = self.uses(node.entry, bundle).items()
                used = [role for role, other in uses if alone or other in graph]
                roles = [role for role, source in variant.weights.items() if source.kind != "adapter"]
                found[node.entry] = Parts(variant.defaults, dict.fromkeys([*roles, *used]).keys())
        return found

    def bundles(self, root: Node) -> list[str]:
        """Returns the bundles in which every entry of the graph exists."""
        entries = [self.entry(node.entry) for node in root.walk()]
        return [name for name in entries[0].bundles if all(name in entry.bundles for entry in entries)]


def entry_names(root: Node, elsewhere: Container[str] = ()) -> list[str]:
    """Returns the names of the entries in a graph, each once, in execution order.

    Args:
        elsewhere: names of nodes that are left out.
    """
    return list(dict.fromkeys(node.entry for node in root.execution_order() if node.name not in elsewhere))
