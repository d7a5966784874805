"""What a graph takes and answers, as whoever asks it sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imagegraph.picture import ORDER
from imagegraph.ports import RAW, Port
from imagegraph.signature import Signature
from imagegraph.spec import graph
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Node


@dataclass(frozen=True)
class Interface:
    """What may be sent and will be got: the ports by name.

    Attributes:
        priors: of the outputs, those that a request may bring instead of having them read.
        columns: for every list of pictures, the lists that may say something of each of them.
    """

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    priors: frozenset[str] = frozenset()
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of_graph(cls, root: Node, bundle: str, catalogue: Catalogue) -> Interface:
        """Returns that of a graph in a bundle; its inputs have the defaults of their entries.

        Raises:
            UnknownName, InvalidDocument: as `Catalogue.signatures`.
        """
        signatures = catalogue.signatures(root, bundle)
        inputs = {
            name: offered(one.port, one.required, catalogue.entry(one.entry).variant(bundle).defaults)
            for name, one in graph.inputs(root, signatures).items()
        }
        written = {port: one for signature in signatures.values() for port, one in signature.outputs.items()}
        outputs = {port: written[port] for port in sorted(graph.outputs(root, signatures))}
        priors = frozenset(graph.priors(root, signatures))
        return cls(inputs, outputs, priors, columns(signatures.values()))

    @classmethod
    def of_entry(cls, name: str, bundle: str, catalogue: Catalogue) -> Interface:
        """Returns that of a component by itself.

        Raises:
            UnknownName: the entry does not exist, or not in that bundle.
        """
        signature, defaults = (
            catalogue.signature(name, bundle),
            catalogue.entry(name).variant(bundle).defaults,
        )
        inputs = {name: offered(one, one.required, defaults) for name, one in signature.inputs.items()}
        return cls(inputs, signature.outputs, columns=columns([signature]))

    def describe(self) -> dict[str, list[dict[str, Any]]]:
        """Returns inputs and outputs as V2 metadata have them.

        What no text is says so among a tensor's parameters: `content_type` and, of pictures, which `pixels`
        are one. Of an output, `prior` says that a request may bring it instead of having it read, and `of`
        names the lists of pictures of each of which it says something.
        """

        def output(port: Port) -> dict[str, Any]:
            described = _describe(port)
            of = sorted(pictures for pictures, names in self.columns.items() if port.name in names)
            told = {"prior": port.name in self.priors, "of": of}
            described["parameters"] |= {name: value for name, value in told.items() if value}
            return described

        return {
            "inputs": [_describe(port) for port in self.inputs.values()],
            "outputs": [output(port) for port in self.outputs.values()],
        }


def _describe(port: Port) -> dict[str, Any]:
    facts = dict(port.facts)
    if port.content_type:
        facts["content_type"] = port.content_type
    if port.holds_images:
        facts["pixels"] = RAW
    return {"name": port.name, "datatype": port.datatype, "shape": list(port.shape), "parameters": facts}


def offered(port: Port, required: bool, defaults: Mapping[str, Any]) -> Port:
    """Returns a port as clients see it: with the default of its entry, if that has one."""
    default = defaults.get(port.name, port.default)
    return replace(port, required=required and port.name not in defaults, default=default)


def columns(signatures: Iterable[Signature]) -> dict[str, frozenset[str]]:
    """Returns, for every port of a list of pictures, the ports that may say something of each.

    They are the lists that an entry writes which reads or writes the pictures.
    """
    found: dict[str, set[str]] = {}
    for one in signatures:
        lists = {name for name, port in one.outputs.items() if port.is_list and not port.holds_images}
        for name, port in {**one.inputs, **one.outputs}.items():
            if port.is_list and port.holds_images:
                found.setdefault(name, set()).update(lists - {ORDER})
    return {name: frozenset(ports) for name, ports in found.items()}
