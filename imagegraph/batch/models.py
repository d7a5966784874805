"""Which weights and entries draw a row: fixed, or drawn from a list for each."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.run import provenance
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.content_hash import content_hash
from imagegraph.spec.graph import Node

LIST = "@"  # before the name of a file with a choice a line


@dataclass(frozen=True)
class Model:
    """A graph as it draws a row: its nodes, and the bundle of their weights.

    Attributes:
        label: what tells it from the others of a batch.
        root: None where a server has the graph.
    """

    label: str
    root: Node | None = None
    bundle: str = ""

    def facts(self, catalogue: Catalogue) -> dict[str, object]:
        """Returns all that its answers depend on beside the values: graph, weights, settings."""
        if self.root is None:
            return {}
        nodes = provenance.nodes(self.root, self.bundle, catalogue)
        return {
            "bundle": self.bundle,
            "graph": self.root.model_dump(mode="json"),
            "nodes": {name: one.model_dump(mode="json") for name, one in nodes.items()},
        }


@dataclass(frozen=True)
class Choices:
    """The bundles, and the entries of nodes, that a row may be drawn with; of several, one at random.

    Attributes:
        root: of the graph, as the catalogue has it.
        entries: by node.
    """

    root: Node
    bundles: Sequence[str]
    entries: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nodes = [node.name for node in self.root.walk()]
        for name in self.entries:
            if name not in nodes:
                raise UnknownName("node", name, nodes)

    @property
    def seed(self) -> str:
        """What is drawn with, beside a row's name: the same for the same choices of the same graph."""
        lists = [*self.bundles], {name: [*one] for name, one in sorted(self.entries.items())}
        return content_hash((self.root.model_dump_json(), *lists))

    def choose(self, name: str, bundle: str | None = None) -> Model:
        """Returns what draws the row of that name, whichever rows there are beside it.

        Args:
            bundle: that the row itself asks for.
        """
        chosen = bundle or self._draw(self.bundles, name, "bundle")
        entries = {node: self._draw(some, name, node) for node, some in self.entries.items()}
        label = ", ".join([chosen, *(f"{node} {entry}" for node, entry in entries.items())])
        return Model(label, _with_entries(self.root, entries), chosen)

    def all(self) -> list[Model]:
        """Returns every model that a row may be drawn with."""
        nodes = list(self.entries)
        return [
            Model(bundle, _with_entries(self.root, dict(zip(nodes, entries, strict=True))), bundle)
            for bundle in self.bundles
            for entries in itertools.product(*self.entries.values())
        ]

    def _draw(self, some: Sequence[str], name: str, what: str) -> str:
        digest = hashlib.sha256(f"{self.seed}\0{name}\0{what}".encode(errors="surrogateescape")).digest()
        return some[int.from_bytes(digest[:8]) % len(some)]


def read_choices(text: str, what: str) -> list[str]:
    """Returns the one choice that a text is, or those of the list file that it names: @FILE, one a line.

    Raises:
        InvalidInput: there is no such file, or nothing in it.
    """
    if not text.startswith(LIST):
        return [text]
    path = Path(text.removeprefix(LIST)).expanduser()
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidInput(what, "a file with a choice a line", f"{path} ({why})") from error
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise InvalidInput(what, "a file with a choice a line", f"{path} without any")
    return found


def _with_entries(node: Node, entries: Mapping[str, str]) -> Node:
    children = tuple(_with_entries(child, entries) for child in node.children)
    return node.model_copy(update={"entry": entries.get(node.name, node.entry), "children": children})
