"""The platform "embedded": a whole manifest in this process, the engine over local components."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Self

from imagegraph.calls.cached import CachedCall
from imagegraph.calls.check import Check, checked
from imagegraph.calls.in_process import LocalCall
from imagegraph.calls.store import Store
from imagegraph.engine import walk
from imagegraph.engine.closing import Closing
from imagegraph.engine.context import Call, Context
from imagegraph.errors import DeadlineExceeded, InvalidDocument, UnknownName
from imagegraph.message import Message
from imagegraph.ports import Port
from imagegraph.spec import graph
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Input, Node
from imagegraph.spec.seldon import Predictor


class Embedded(Closing):
    """One predictor of a manifest, loading in the background from the start.

    Use as a context manager, or `close` it.
    """

    def __init__(
        self,
        root: Node,
        bundle: str,
        catalogue: Catalogue,
        device: str = "auto",
        store: Store | None = None,
    ) -> None:
        """Takes a graph whose entries all exist in `bundle`.

        Args:
            device: see `LocalCall`.
            store: keeps the results of nodes; graphs may share one.
        """
        self.root = root
        self.bundle = bundle
        self.catalogue = catalogue
        signatures = catalogue.signatures(root, bundle)
        self.inputs: dict[str, Input] = graph.inputs(root, signatures)
        self._check = Check(root, signatures, catalogue.parts(root, bundle))
        self._local = LocalCall(catalogue, bundle, catalogue.needed(root), device)
        call: Call = self._local
        if store is not None:
            call = CachedCall(call, store, signatures, self._local.version)
        self._call = checked(call, self._check)

    @classmethod
    def of(cls, predictor: Predictor, catalogue: Catalogue, device: str = "auto") -> Self:
        """Runs a predictor of a manifest.

        Raises:
            InvalidDocument: a node is to be reached in a pod of its own.
        """
        for node in predictor.endpoints:
            raise InvalidDocument(f"node '{node}' has an endpoint: `imagegraph serve --manifest` calls it")
        return cls(predictor.root, predictor.bundle, catalogue, device)

    @property
    def load_seconds(self) -> Mapping[str, float]:
        """Seconds that each entry's weights took to load, of those loaded so far."""
        return self._local.load_seconds

    @property
    def queues(self) -> Mapping[str, int]:
        """How many requests wait for each entry."""
        return self._local.queues

    def port(self, name: str) -> Port:
        """Returns the port of what a request may bring: an input, or a prior instead of having it read.

        Raises:
            UnknownName: lists the inputs and priors there are.
        """
        if name in self.inputs:
            return self.inputs[name].port
        if name in self._check.priors:
            return self._check.priors[name]
        raise UnknownName("input", name, [*self.inputs, *self._check.priors])

    def parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns every value that the graph will read from a request: given, or by default.

        Args:
            values: also priors, whose readers are then not asked.

        Raises:
            UnknownName: a value is given that no node reads.
            InvalidInput: as `Check`.
        """
        for name in values:
            self.port(name)
        self._check(values)
        read = {name: self.port(name).read(values[name]) for name in values if name not in self.inputs}
        for name, item in self.inputs.items():
            defaults = self.catalogue.entry(item.entry).variant(self.bundle).defaults
            if name in values:
                read[name] = item.port.read(values[name])
            elif name in defaults:
                read[name] = item.port.read(defaults[name])
            elif not item.port.required:
                read[name] = item.port.default
        return read

    async def ready(self, timeout_s: float | None = None) -> None:
        """Waits until every component is loaded.

        Raises:
            ImagegraphError: one cannot be loaded, or not in time.
        """
        try:
            await asyncio.wait_for(self._local.ready(), timeout_s)
        except TimeoutError as error:
            raise DeadlineExceeded("out of time while models were loading") from error

    async def run(self, values: Mapping[str, Any], context: Context | None = None) -> Message:
        """Answers one request.

        Raises:
            ImagegraphError: with the node at fault; see `errors` for what to do about each kind.
        """
        context = context or Context()
        read = self.parameters(values)
        await self.ready(None if context.deadline is None else context.deadline - time.monotonic())
        given = {name: read[name] for name in values}
        return await walk.run(self.root, Message(given, id=context.id), self._call, context)

    def close(self) -> None:
        """Lets go of the components."""
        self._local.close()
