"""A graph as formats need to know it that can carry one: which tensors each of its nodes reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from imagegraph.component import Combiner
from imagegraph.errors import InvalidInput
from imagegraph.export.exported import Exported
from imagegraph.message import Message
from imagegraph.signature import Signature
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Node, NodeType
from imagegraph.spec.interface import Interface
from imagegraph.spec.weights import Source
from imagegraph.wire import v2_json


@dataclass(frozen=True)
class Step:
    """A node, with the names of the tensors that it reads and writes, by port."""

    node: Node
    reads: Mapping[str, str]
    writes: Mapping[str, str]


@dataclass(frozen=True)
class ExportedGraph:
    """A graph of the catalogue in a bundle.

    Attributes:
        component: its name.
        parts: the components of its nodes, each once.
        answers: the tensors that are answered, by port.
        example: values that it can answer, from the catalogue's smoke inputs.
    """

    component: str
    bundle: str
    summary: str
    interface: Interface
    parts: Sequence[Exported]
    steps: Sequence[Step]
    answers: Mapping[str, str]
    example: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, bundle: str, device: str, catalogue: Catalogue) -> Self:
        """Reads it from the catalogue.

        Raises:
            UnknownName: there is no such graph, or a node's entry does not exist in that bundle.
            InvalidInput: no fixed tensors go from node to node: one chooses, or unites by rules of its own.
        """
        graph = catalogue.graph(name)
        root = graph.root
        signatures = catalogue.signatures(root, bundle)
        interface = Interface.of_graph(root, bundle, catalogue)
        for node in root.walk():
            if node.type is NodeType.ROUTER:
                expected = "a graph whose nodes all compute"
                raise InvalidInput("component", expected, f"{name}, where '{node.name}' chooses")
            kind = catalogue.entry(node.entry).kind
            if issubclass(kind, Combiner) and kind.aggregate is not Combiner.aggregate:
                expected = "a graph that unites values by name alone"
                raise InvalidInput(
                    "component", expected, f"{name}, where '{node.name}' does so by its own rules"
                )
        wiring = Wiring(name, signatures)
        written = wiring.follow(root, {port: port for port in interface.inputs})
        answers = {port: tensor for port, tensor in written.items() if tensor not in interface.inputs}
        # A tensor has one name: what is answered under an input's name keeps that of its node before it.
        plain = {tensor: port for port, tensor in answers.items() if port not in interface.inputs}
        steps = [Step(one.node, _named(one.reads, plain), _named(one.writes, plain)) for one in wiring.steps]
        entries = dict.fromkeys(step.node.entry for step in steps)
        parts = [Exported.of(entry, bundle, device, catalogue) for entry in entries]
        example = {
            port: value for part in parts for port, value in part.example.items() if port in interface.inputs
        }
        answers = _named(answers, plain)
        return cls(name, bundle, graph.summary, interface, parts, steps, answers, example)

    @property
    def sources(self) -> list[Source]:
        """Where the weights of all its components come from."""
        return [source for part in self.parts for source in part.sources]

    def v2(self) -> bytes:
        """Returns the example as a V2 request in JSON."""
        return v2_json.encode(Message(self.example, id="example"), binary=False)[0]


def _named(tensors: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {port: names.get(tensor, tensor) for port, tensor in tensors.items()}


class Wiring:
    """Follows the values through a graph as the engine does."""

    def __init__(self, graph: str, signatures: Mapping[str, Signature]) -> None:
        """Takes the graph's name and the signatures of its entries."""
        self._graph = graph
        self._signatures = signatures
        self.steps: list[Step] = []

    def follow(self, node: Node, values: Mapping[str, str]) -> dict[str, str]:
        """Adds the steps of a node and of those below it.

        Args:
            values: the tensors that reach it, by port.

        Returns:
            Those that leave it.

        Raises:
            InvalidInput: different values have one name.
        """
        values = dict(values)
        if node.type in (NodeType.MODEL, NodeType.TRANSFORMER):
            values = self._step(node, values)
        answers = [self.follow(child, values) for child in node.children]
        if node.type is NodeType.COMBINER:
            values = self._united(node, answers)
        elif answers:
            values = answers[0]
        if node.type is NodeType.OUTPUT_TRANSFORMER:
            values = self._step(node, values)
        return values

    def _step(self, node: Node, values: dict[str, str]) -> dict[str, str]:
        signature = self._signatures[node.entry]
        reads = {port: values[port] for port in signature.inputs if port in values}
        # Whoever reads what may be missing would wait for it for ever.
        writes = {name: f"{node.name}.{name}" for name, port in signature.outputs.items() if port.required}
        if writes:
            self.steps.append(Step(node, reads, writes))
        return writes if node.type is NodeType.MODEL else {**values, **writes}

    def _united(self, node: Node, answers: Sequence[Mapping[str, str]]) -> dict[str, str]:
        united: dict[str, str] = {}
        for answer in answers:
            for port, tensor in answer.items():
                if united.setdefault(port, tensor) != tensor:
                    expected = f"one node below '{node.name}' that writes '{port}'"
                    got = f"{self._graph}, where {united[port]} and {tensor} do"
                    raise InvalidInput("component", expected, got)
        return united
