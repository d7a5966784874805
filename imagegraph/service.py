"""What one process serves, the same behind every protocol: a node, or a whole graph by the engine."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from imagegraph import engine, graph
from imagegraph.cache import CachedCall, Purity, Store
from imagegraph.calls import LocalCall
from imagegraph.catalogue import Catalogue, entry_names
from imagegraph.component import Combiner, Router, Signature
from imagegraph.engine import Call, Context
from imagegraph.errors import ImagegraphError, Unavailable, UnknownName
from imagegraph.graph import Node, NodeType
from imagegraph.message import Message, merge
from imagegraph.ports import Port


@dataclass(frozen=True)
class Interface:
    """What a client may send and will get: the ports by name."""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]


class Service:
    """A node or a graph with its state: loading, ready, failed or draining."""

    def __init__(
        self,
        name: str,
        root: Node,
        interface: Interface,
        call: Call,
        load: Callable[[], Awaitable[None]],
        *,
        strict: bool,
        role: type[Combiner] | type[Router] | None = None,
    ) -> None:
        """Takes what runs and how it gets ready.

        Args:
            strict: refuse inputs that nobody reads; a node in a graph has to pass them on.
            role: what a single node does instead of `infer`, if anything.
        """
        self.name = name
        self.root = root
        self.interface = interface
        self.role = role
        self._call = call
        self._load = load
        self._strict = strict
        self._loaded = False
        self._draining = False
        self.failure: ImagegraphError | None = None
        self.in_flight = 0

    @property
    def ready(self) -> bool:
        """Whether requests are welcome."""
        return self._loaded and not self._draining and self.failure is None

    async def load(self) -> None:
        """Loads the weights; until then, requests are refused.

        Raises:
            ImagegraphError: they cannot be loaded; `failure` keeps it.
        """
        try:
            await self._load()
            self._loaded = True
        except ImagegraphError as error:
            self.failure = error
            raise

    def drain(self) -> None:
        """Says to everybody who asks that this process is going; requests are still answered."""
        self._draining = True

    @contextlib.asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        if not self._loaded:
            raise self.failure or Unavailable(f"'{self.name}' is still loading its weights")
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def infer(self, messages: Sequence[Message], context: Context) -> Message:
        """Answers a request; several messages are the answers of an ensemble's steps.

        Raises:
            ImagegraphError: see `errors`.
        """
        if self.role is Combiner:
            return await self.aggregate(messages, context)
        async with self._admitted():
            message = messages[0] if len(messages) == 1 else replace(messages[0], values=merge(messages))
            if self._strict:
                for name in message.values:
                    if name not in self.interface.inputs:
                        raise UnknownName("input", name, self.interface.inputs)
            answer = await engine.run(self.root, message, self._call, context)
            parameters = dict(answer.parameters)
            if context.cache_hits:
                parameters["cache_hits"] = ",".join(context.cache_hits)
            return replace(answer, id=message.id or context.id, origin=self.name, parameters=parameters)

    async def aggregate(self, messages: Sequence[Message], context: Context) -> Message:
        """Unites the answers of children."""
        async with self._admitted():
            answer = await self._call.aggregate(self.root, messages, context)
            return replace(answer, id=answer.id or context.id, origin=self.name)

    async def route(self, message: Message, context: Context) -> int:
        """Chooses a child."""
        async with self._admitted():
            return await self._call.route(self.root, message, context)


def node_service(
    catalogue: Catalogue,
    component: str,
    bundle: str,
    *,
    name: str,
    type_: NodeType,
    device: str,
    max_queue: int,
    store: Store | None,
) -> Service:
    """Serves one component under the name and type that its node has in the graph."""
    entry = catalogue.entry(component)
    uses = [other for other in entry.uses.values() if bundle in catalogue.entry(other).bundles]
    local = LocalCall(catalogue, bundle, [*uses, component], device, max_queue)
    role = next((kind for kind in (Combiner, Router) if issubclass(entry.kind, kind)), None)
    # A leaf: what the engine would do with the children is the business of whoever runs the graph.
    root = Node(name=name, entry=component, type=NodeType.TRANSFORMER if role else type_)
    signature = entry.signature
    return Service(
        name,
        root,
        Interface(signature.inputs, signature.outputs),
        _cached(local, catalogue, bundle, store),
        local.ready,
        strict=False,
        role=role,
    )


def graph_service(
    catalogue: Catalogue,
    name: str,
    root: Node,
    bundle: str,
    *,
    device: str,
    max_queue: int,
    store: Store | None,
) -> Service:
    """Serves a whole graph, its components in this process."""
    local = LocalCall(catalogue, bundle, entry_names(root), device, max_queue)
    signatures = catalogue.signatures(root)
    inputs = {port: one.port for port, one in graph.inputs(root, signatures).items()}
    written = {port: one for signature in signatures.values() for port, one in signature.outputs.items()}
    outputs = {port: written[port] for port in sorted(graph.outputs(root, signatures))}
    call = _cached(local, catalogue, bundle, store)
    return Service(name, root, Interface(inputs, outputs), call, local.ready, strict=True)


def _cached(call: Call, catalogue: Catalogue, bundle: str, store: Store | None) -> Call:
    if store is None:
        return call
    known: dict[str, Purity] = {}

    def purity(node: Node) -> Purity:
        if node.entry not in known:
            known[node.entry] = Purity(*_version(catalogue, node.entry, bundle))
        return known[node.entry]

    return CachedCall(call, store, purity)


def _version(catalogue: Catalogue, name: str, bundle: str) -> tuple[Signature, str]:
    """Returns the signature and a hash of weights, settings and defaults of an entry."""
    entry = catalogue.entry(name)
    variant = entry.variant(bundle)
    facts = {
        "weights": {role: source.version for role, source in variant.weights.items()},
        "settings": variant.settings,
        "defaults": variant.defaults,
    }
    digest = hashlib.sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS, default=dict))
    return entry.signature, digest.hexdigest()


def metadata(service: Service) -> dict[str, Any]:
    """Returns the V2 metadata of the model: its tensors with datatypes and shapes."""

    def tensors(ports: Mapping[str, Port]) -> list[dict[str, Any]]:
        return [
            {"name": port.name, "datatype": port.datatype, "shape": list(port.shape)}
            for port in ports.values()
        ]

    return {
        "name": service.name,
        "versions": ["1"],
        "platform": "imagegraph",
        "inputs": tensors(service.interface.inputs),
        "outputs": tensors(service.interface.outputs),
    }
