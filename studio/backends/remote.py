"""Deployed graphs, by the URLs of their V2 servers: plain with events, Seldon and KServe without."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imagegraph import Graph, __version__
from imagegraph.client import Client
from imagegraph.errors import ImagegraphError, InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.library.served import ServedGraph
from imagegraph.ports import Port
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.interface import Interface
from studio.backends import form
from studio.backends.backend import Backend, Described, Health, Opened, Traffic
from studio.backends.embedded import describe

BELIEVED_S = 5.0  # what was said of health and metadata


class RemoteBackend(Backend):
    """A graph that a server has.

    Of graphs of the catalogue the tree is known, of others the server's own nodes as they report.
    """

    def __init__(self, name: str, url: str, catalogue: Catalogue) -> None:
        """Takes the server's URL, with or without `/v2/models/NAME`."""
        self.name = name
        self._catalogue = catalogue
        base, _, model = url.rstrip("/").partition("/v2/models/")
        self.where = base
        self._model = model or name
        self._opened = Opened()
        self._lock = threading.Lock()
        self._described: tuple[float, Described] | None = None
        self._health: tuple[float, Health] | None = None

    def describe(self) -> Described:
        """Asks the server what it takes; where it does not say, the catalogue does."""
        if self._described and time.monotonic() - self._described[0] < BELIEVED_S:
            return self._described[1]
        with self._lock:
            try:
                found = self._ask()
            except ImagegraphError:
                if self._described is None and self.name not in self._catalogue.graphs:
                    raise
                found = self._described[1] if self._described else self._by_catalogue()
            self._described = time.monotonic(), found
            return found

    def _ask(self) -> Described:
        with Client(self.where) as client:
            metadata = client.metadata(self._model)
        traffic = [Traffic(**one) for one in metadata.get("predictors", ())]
        named = sorted((one for one in traffic if not one.shadow), key=lambda one: -one.traffic)
        versions = [one.name for one in named] or [str(one) for one in metadata.get("versions", ())]
        if self.name in self._catalogue.graphs:
            bundle = self._catalogue.bundles(self._catalogue.graph(self.name).root)[0]
            return replace(describe(self.name, self._catalogue, metadata, versions, bundle), traffic=traffic)
        inputs, outputs = metadata["inputs"], metadata["outputs"]
        priors = {one["name"]: one for one in outputs if one.get("parameters", {}).get("prior")}
        node = {
            "name": self._model,
            "entry": self._model,
            "type": "MODEL",
            "summary": "",
            "outputs": [],
            "children": [],
        }
        fields = form.fields(inputs, priors)
        tensors = {one["name"]: one for one in [*outputs, *inputs]}
        names = [one["name"] for one in outputs]
        about = tensors, names, list(priors), versions, traffic
        return Described(self.name, "graph", f"at {self.where}", node, fields, *about)

    def _by_catalogue(self) -> Described:
        root = self._catalogue.graph(self.name).root
        bundle = self._catalogue.bundles(root)[0]
        interface = Interface.of_graph(root, bundle, self._catalogue)
        return describe(self.name, self._catalogue, interface.describe(), [], bundle)

    def health(self) -> Health:
        """Says whether its server takes requests; asked every few seconds at most."""
        if self._health is None or time.monotonic() - self._health[0] > BELIEVED_S:
            with Client(self.where) as client:
                ready = client.ready()
            error = "" if ready else f"{self.where} is not ready, or cannot be reached"
            self._health = time.monotonic(), Health(ready, error)
        return self._health[1]

    def version(self, asked: str | None) -> str:
        """Returns the version that is asked for, or one by chance, as the server splits requests.

        So it is known which one drew a picture.
        """
        ready = [one for one in self.describe().traffic if one.ready and not one.shadow and one.traffic]
        if asked or not ready:
            return super().version(asked)
        return random.choices(ready, [one.traffic for one in ready])[0].name

    def open(self, version: str) -> Graph:
        """Returns the graph, asked over one pool of connections for each version."""
        predictors = [one.name for one in self.describe().traffic]
        predictor = version if version in predictors else None
        return self._opened.get(predictor or "", lambda: ServedGraph(self.where, self._model, predictor))

    def check(self, version: str, values: Mapping[str, Any]) -> None:
        """Refuses names that the graph does not read; the rest is for its server to say."""
        described = self.describe()
        names = {one.name for one in described.inputs}
        for name in values:
            if name not in names:
                raise UnknownName("input", name, names)
        for one in described.inputs:
            if one.required and one.name not in values:
                raise InvalidInput(one.name, "a value", "nothing")

    def identity(self, version: str) -> str:
        """Names the server, and the version that it says it has."""
        return f"{self.where} {self._model} {' '.join(self.describe().versions)}"

    def record(self, version: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what was asked; which weights drew it only the server knows."""
        plain = {name: value for name, value in values.items() if not _holds_images(value)}
        parameters = {name: Port(name, Any, False).plain(value) for name, value in plain.items()}
        return {"version": __version__, "name": self.name, "bundle": version, "parameters": parameters}

    def close(self) -> None:
        """Closes the connections."""
        self._opened.close()


def _holds_images(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return any(isinstance(one, Image) for one in items)
