"""Graphs of the catalogue in this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from imagegraph import Graph, __version__
from imagegraph.calls.store import MemoryStore
from imagegraph.component import Combiner, Router
from imagegraph.errors import MissingWeights
from imagegraph.library.local import LocalGraph
from imagegraph.run import provenance
from imagegraph.run.embedded import Embedded
from imagegraph.spec.catalogue import Catalogue, entry_names
from imagegraph.spec.content_hash import content_hash
from imagegraph.spec.graph import Node
from imagegraph.spec.interface import Interface
from studio.backends import form
from studio.backends.backend import Backend, Described, Health, Opened
from studio.settings import Settings


class EmbeddedBackend(Backend):
    """A graph of the catalogue; its weights load when it is first asked for."""

    where = "embedded"

    def __init__(
        self, name: str, catalogue: Catalogue, settings: Settings, store: MemoryStore | None
    ) -> None:
        """Takes the graph's name, and what keeps results of nodes."""
        self.name = name
        self._catalogue = catalogue
        self._settings = settings
        self._store = store
        self._root = catalogue.graph(name).root
        self._engines: dict[str, Embedded] = {}
        self._opened = Opened()
        self._described: Described | None = None
        self._describing = threading.Lock()  # it takes a while, and many may ask at once

    def describe(self) -> Described:
        """Says what it takes and answers in the default bundle."""
        with self._describing:
            return self._described or self._describe()

    def _describe(self) -> Described:
        versions = self._versions()
        metadata = Interface.of_graph(self._root, versions[0], self._catalogue).describe()
        self._described = describe(self.name, self._catalogue, metadata, versions, versions[0])
        return self._described

    def _versions(self) -> list[str]:
        """Returns the bundles whose weights are on this machine, the default first."""
        names = self._catalogue.bundles(self._root)
        entries = entry_names(self._root)
        here = [one for one in names if all(_has_weights(self._catalogue, name, one) for name in entries)]
        default = self._settings.bundle
        return [default, *(one for one in here if one != default)] if default in names else here

    def health(self) -> Health:
        """Says whether its weights are loaded; those of the default bundle."""
        bundle = self.describe().versions[0]
        engine = self._engines.get(bundle)
        if engine is None:
            return Health(False)
        entries = entry_names(engine.root)
        left = [name for name in entries if name not in engine.load_seconds]
        nodes = {
            node.name: {
                "ready": node.entry in engine.load_seconds,
                "load_s": engine.load_seconds.get(node.entry),
                "queue": engine.queues.get(node.entry, 0),
            }
            for node in engine.root.walk()
        }
        return Health(not left, loading=left[0] if left else "", nodes=nodes)

    def open(self, version: str) -> Graph:
        """Returns the graph; its weights load in the background."""

        def make() -> Graph:
            device = self._settings.device
            engine = Embedded(self._root, version, self._catalogue, device, self._store)
            self._engines[version] = engine
            return LocalGraph(self.name, engine)

        return self._opened.get(version, make)

    def check(self, version: str, values: Mapping[str, Any]) -> None:
        """Refuses wrong values."""
        self.open(version)
        self._engines[version].parameters(values)

    def identity(self, version: str) -> str:
        """Names entries, weights and settings by their hash."""
        nodes = provenance.nodes(self._root, version, self._catalogue)
        return content_hash({name: one.model_dump(mode="json") for name, one in nodes.items()})

    def record(self, version: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the provenance, with which `imagegraph replay` draws a picture again."""
        engine = self._engines[version]
        read = {name: (engine.port(name), value) for name, value in engine.parameters(values).items()}
        made = provenance.Record(
            version=__version__,
            name=self.name,
            bundle=version,
            device=self._settings.device,
            graph=self._root,
            nodes=provenance.nodes(self._root, version, self._catalogue),
            parameters={
                name: port.plain(value) for name, (port, value) in read.items() if not port.holds_images
            },
            sources={},
            picture=0,
        )
        return made.model_dump(mode="json")

    def close(self) -> None:
        """Lets go of the models."""
        self._opened.close()
        self._engines.clear()


def describe(
    name: str, catalogue: Catalogue, metadata: Mapping[str, Any], versions: list[str], bundle: str
) -> Described:
    """Says what is known of a graph of the catalogue."""
    item = catalogue.graph(name)
    inputs, outputs = metadata["inputs"], metadata["outputs"]
    priors = {one["name"]: one for one in outputs if one.get("parameters", {}).get("prior")}
    return Described(
        name,
        "graph" if name in catalogue.graphs else "component",
        item.summary,
        tree(item.root, catalogue, bundle),
        form.fields(inputs, priors),
        {one["name"]: one for one in [*outputs, *inputs]},
        [one["name"] for one in outputs],
        list(priors),
        versions,
    )


def tree(root: Node, catalogue: Catalogue, bundle: str) -> dict[str, Any]:
    """Returns the nodes of a graph, each with what it writes and with its children."""
    entry = catalogue.entry(root.entry)
    known = bundle if bundle in entry.bundles else next(iter(entry.bundles))
    return {
        "name": root.name,
        "entry": root.entry,
        "type": str(root.type),
        "summary": entry.variant(known).summary or entry.summary,
        "outputs": list(catalogue.signature(root.entry, known).outputs),
        "children": [tree(child, catalogue, bundle) for child in root.children],
    }


def offered(catalogue: Catalogue) -> list[str]:
    """Names all graphs, then the components that answer by themselves."""
    alone = [
        name
        for name, entry in catalogue.entries.items()
        if not issubclass(entry.kind, (Combiner, Router)) and name not in catalogue.graphs
    ]
    return [*catalogue.graphs, *alone]


def _has_weights(catalogue: Catalogue, entry: str, bundle: str) -> bool:
    try:
        catalogue.entry(entry).weights(bundle, "cpu")
    except MissingWeights:
        return False
    return True
