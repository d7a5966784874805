"""A graph: a tree of nodes in Seldon's own words, and what can be said of it without running it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Self

import pydantic
from pydantic import Field

from imagegraph.ports import Port
from imagegraph.signature import Signature
from imagegraph.spec.strict_yaml import Strict

# A name must be a DNS label: it becomes a container, a Service and a label in Kubernetes.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]


class NodeType(StrEnum):
    """What the engine asks a node to do; Seldon's PredictiveUnitType.

    MODEL answers with its own outputs only; TRANSFORMER and OUTPUT_TRANSFORMER also pass on every
    value that they did not read, the one before its children, the other after them.
    """

    MODEL = "MODEL"
    TRANSFORMER = "TRANSFORMER"
    OUTPUT_TRANSFORMER = "OUTPUT_TRANSFORMER"
    COMBINER = "COMBINER"
    ROUTER = "ROUTER"


class Tree(Strict):
    """What every notation of a graph has: names, types and children that fit."""

    name: Name
    type: NodeType = NodeType.MODEL
    children: tuple[Self, ...] = ()

    @pydantic.model_validator(mode="after")
    def _children_fit(self) -> Self:
        if self.type in (NodeType.COMBINER, NodeType.ROUTER) and not self.children:
            raise ValueError(f"{self.type} '{self.name}' needs children")
        names = [node.name for node in self.walk()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"duplicate node name '{twice[0]}': every node needs its own")
        return self

    def walk(self) -> Iterator[Self]:
        """Yields this node and all below it, in the order of the document."""
        yield self
        for child in self.children:
            yield from child.walk()


class Node(Tree):
    """One place in a graph; `entry` is the catalogue's name of what runs there."""

    entry: Name = ""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _entry_is_name_by_default(cls, data: object) -> object:
        if isinstance(data, dict) and "entry" not in data and "name" in data:
            return {**data, "entry": data["name"]}
        return data

    def execution_order(self) -> Iterator[Node]:
        """Yields the nodes in the order in which a single worker would first need them."""
        after = self.type in (NodeType.COMBINER, NodeType.OUTPUT_TRANSFORMER)
        if not after:
            yield self
        for child in self.children:
            yield from child.execution_order()
        if after:
            yield self


@dataclass(frozen=True)
class Input:
    """A value that a request may bring to a graph, and the entry whose port first reads it.

    Attributes:
        required: whether every way through the graph needs it; a ROUTER may choose one that does not.
    """

    port: Port
    entry: str
    required: bool


def inputs(graph: Node, signatures: Mapping[str, Signature]) -> dict[str, Input]:
    """Returns what a request may bring: the ports read before any node has written them.

    Args:
        signatures: of every entry in the graph.
    """
    asked: dict[str, Input] = {}
    _follow(graph, signatures, frozenset(), asked)
    return asked


def outputs(graph: Node, signatures: Mapping[str, Signature]) -> frozenset[str]:
    """Returns the names of the values that the nodes add to the answer, whatever a ROUTER chooses."""
    return _follow(graph, signatures, frozenset(), {})


def priors(graph: Node, signatures: Mapping[str, Signature]) -> dict[str, Port]:
    """Returns the values that a request may bring, so that the nodes which would read them are not asked.

    They are what the MODELs below a COMBINER answer, where no node before it or below it reads a value of
    that name. Of an entry with an output of its own name, the others are some only beside that.
    """
    united = [node for node in graph.walk() if node.type is NodeType.COMBINER]
    readers = {one.name for node in united for one in node.children if _is_leaf(one)}
    others = {node.entry for node in graph.walk() if node.name not in readers}
    found: dict[str, Port] = {}

    def visit(node: Node, read: frozenset[str]) -> None:
        if node.type is not NodeType.OUTPUT_TRANSFORMER:
            read = read.union(signatures[node.entry].inputs)
        if node.type is NodeType.COMBINER:
            below = read.union(*(signatures[one.entry].inputs for one in node.walk()))
            for child in node.children:
                outputs = signatures[child.entry].outputs
                own = {name: port for name, port in outputs.items() if name not in below}
                if (
                    _is_leaf(child)
                    and child.entry not in others
                    and (own.keys() >= {child.entry} & outputs.keys())
                ):
                    found.update(own)
        for child in node.children:
            visit(child, read)

    visit(graph, frozenset())
    return {
        name: port
        for name, port in found.items()
        if all(name not in signatures[entry].outputs for entry in others)
    }


def _is_leaf(node: Node) -> bool:
    return node.type is NodeType.MODEL and not node.children


def _follow(
    node: Node, signatures: Mapping[str, Signature], written: frozenset[str], asked: dict[str, Input]
) -> frozenset[str]:
    """Walks as the engine does; returns the names that nodes have written so far."""
    signature = signatures[node.entry]

    def visit(written: frozenset[str]) -> frozenset[str]:
        for name, port in signature.inputs.items():
            if name in written:
                continue
            if name not in asked or (port.required and not asked[name].required):
                asked[name] = Input(port, node.entry, port.required)
        return written.union(signature.outputs)

    if node.type in (NodeType.MODEL, NodeType.TRANSFORMER, NodeType.ROUTER):
        written = visit(written)
    if node.type is NodeType.ROUTER:
        ways = [dict(asked) for _ in node.children]
        answers = [
            _follow(child, signatures, written, way) for child, way in zip(node.children, ways, strict=True)
        ]
        for name, one in [item for way in reversed(ways) for item in way.items()]:
            needed = all(name in way and way[name].required for way in ways)
            if needed or name not in asked or not asked[name].required:
                asked[name] = replace(one, required=needed)
        return written.union(frozenset.intersection(*answers))
    answers = [_follow(child, signatures, written, asked) for child in node.children]
    if node.type is NodeType.COMBINER:
        written = frozenset().union(*answers)
    elif answers:
        written = answers[0]
    if node.type is NodeType.OUTPUT_TRANSFORMER:
        written = visit(written)
    return written


def tree(graph: Node) -> str:
    """Draws the graph as an indented tree, one node a line."""

    def lines(node: Node, lead: str, branch: str) -> Iterator[str]:
        entry = f" ({node.entry})" if node.entry != node.name else ""
        yield f"{lead}{branch}{node.name}{entry}  {node.type}"
        below = lead + {"": "", "├── ": "│   ", "└── ": "    "}[branch]
        for child in node.children:
            yield from lines(child, below, "└── " if child is node.children[-1] else "├── ")

    return "\n".join(lines(graph, "", ""))


def mermaid(graph: Node) -> str:
    """Draws the way of a message through the graph as a Mermaid flowchart."""
    edges: list[str] = []

    def enter(name: str, sources: list[str]) -> None:
        edges.extend(f"    {source} --> {name}" for source in sources)

    def flow(node: Node, sources: list[str]) -> list[str]:
        """Adds the edges of `node`'s part; returns where its answer leaves."""
        if node.type not in (NodeType.COMBINER, NodeType.OUTPUT_TRANSFORMER):
            enter(node.name, sources)
            sources = [node.name]
        ends: list[str] = []
        for index, child in enumerate(node.children):
            choice = f" -- {index} " if node.type is NodeType.ROUTER else ""
            ends += flow(child, [source + choice for source in sources])
        if node.type in (NodeType.COMBINER, NodeType.OUTPUT_TRANSFORMER):
            enter(node.name, ends or sources)
            return [node.name]
        return ends or [node.name]

    enter("answer", flow(graph, ["request"]))
    return "\n".join(["flowchart LR", *edges])
