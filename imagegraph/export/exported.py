"""What is exported: a component of the catalogue, as the formats need to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, Self

from imagegraph.calls.loading import check_device
from imagegraph.component import Combiner, Router, Weights
from imagegraph.errors import InvalidInput
from imagegraph.message import Message
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.entry import Entry
from imagegraph.spec.interface import Interface
from imagegraph.spec.weights import Source
from imagegraph.wire import v2_json


@dataclass(frozen=True)
class Exported:
    """A component of the catalogue in a bundle.

    Attributes:
        device: on which it is to compute: auto, cpu, cuda, …
        interface: its inputs and outputs.
        example: values that it can answer, the catalogue's smoke input.
    """

    component: str
    bundle: str
    device: str
    entry: Entry
    interface: Interface
    example: Mapping[str, Any]

    @classmethod
    def of(cls, component: str, bundle: str, device: str, catalogue: Catalogue) -> Self:
        """Reads it from the catalogue.

        Raises:
            UnknownName: the entry does not exist, or not in that bundle.
            InvalidInput: it answers no requests: it unites the answers of nodes, or chooses one of them.
        """
        entry = catalogue.entry(component)
        interface = Interface.of_entry(component, bundle, catalogue)
        check_device(device)
        if issubclass(entry.kind, (Combiner, Router)):
            does = "unites answers of nodes" if issubclass(entry.kind, Combiner) else "chooses a node"
            expected = "one that answers requests: no other server runs our graphs"
            raise InvalidInput("component", expected, f"{component}, which {does}")
        example = entry.smoke_values(catalogue.signature(component, bundle))
        return cls(component, bundle, device, entry, interface, example)

    @property
    def summary(self) -> str:
        """What it does, in words."""
        return self.entry.variant(self.bundle).summary or self.entry.summary

    @property
    def sources(self) -> list[Source]:
        """Where its weights come from."""
        return list(self.entry.variant(self.bundle).weights.values())

    def weights(self) -> Weights:
        """Finds the weights on this machine, for a format that takes them along.

        Raises:
            MissingWeights: says what brings them here.
        """
        return self.entry.weights(self.bundle, "cpu")

    def fill(self, template: str) -> str:
        """Returns a template with `$component`, `$bundle` and `$device` filled in."""
        return Template(template).substitute(component=self.component, bundle=self.bundle, device=self.device)

    def v2(self) -> bytes:
        """Returns the example as a V2 request in JSON."""
        return v2_json.encode(Message(self.example, id="example"), binary=False)[0]

    def instances(self) -> bytes:
        """Returns the example as a request of V1 and Vertex AI."""
        return v2_json.plain({"instances": [self.example]})
