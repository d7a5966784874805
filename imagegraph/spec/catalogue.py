"""The catalogue: entries, bundles and graphs, read strictly from `components/catalogue.yaml`."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, Self

import pydantic

from imagegraph.component import Combiner, Reader, Router
from imagegraph.errors import InvalidDocument, UnknownName
from imagegraph.ports import Port
from imagegraph.signature import Signature
from imagegraph.spec import composition
from imagegraph.spec.composition import DEFAULT_PATH as DEFAULT_PATH
from imagegraph.spec.entry import Entry
from imagegraph.spec.graph import Name, Node, NodeType
from imagegraph.spec.strict_yaml import Misplaced, Strict
from imagegraph.spec.weights import ROOT as ROOT

DEFAULT_BUNDLE = "pocket"
ALIKE = 0.75  # two names, one of which is misspelt


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
            kind = self.entries[prior].kind
            answered = Signature.of(kind).outputs
            if issubclass(kind, Reader) and prior not in answered:
                said = f"expected to answer '{prior}', its own name, got {', '.join(answered)}"
                raise Misplaced(["priors", index], said)
        self._check_roles()
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

    def _check_roles(self) -> None:
        """Refuses a control whose name is a misspelt prior's, so that it would never steer; adapters, too."""
        answered = {port for entry in self.entries.values() for port in Signature.of(entry.kind).outputs}
        for name, entry in self.entries.items():
            for bundle, variant in entry.bundles.items():
                for role, source in variant.weights.items():
                    at = ["entries", name, "bundles", bundle, "weights", role]
                    if source.kind == "control" and role not in answered:
                        meant = get_close_matches(role, answered - variant.weights.keys(), 1, ALIKE)
                        if meant:
                            raise Misplaced(at, f"no entry answers '{role}'. Did you mean '{meant[0]}'?")
                    if source.kind == "adapter" and role in self.priors:
                        raise Misplaced(at, f"'{role}' is a prior: expected `kind: control`, or another name")

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
        documents.find_modules()
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
        variant = entry.variant(bundle)
        if kind.opens == "uses":
            answers = [self.signature(other, bundle).outputs for other in self.uses(name, bundle).values()]
            ports = {
                port: replace(one, required=False) for outputs in answers for port, one in outputs.items()
            }
        else:
            opened = [role for role, source in variant.weights.items() if source.kind == kind.opens]
            ports = {role: Port(role, signature.open, False) for role in opened}
        return signature.closed(ports, variant.adapters)

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
