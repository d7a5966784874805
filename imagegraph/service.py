"""What one process serves, the same behind every protocol: a node, or a whole graph by the engine."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from imagegraph import engine, graph
from imagegraph.cache import CachedCall, Purity, Store
from imagegraph.calls import HttpCall, LocalCall, PerNodeCall
from imagegraph.catalogue import Catalogue
from imagegraph.component import Combiner, Router, Signature
from imagegraph.engine import Call, Context
from imagegraph.errors import ImagegraphError, Unavailable, UnknownName
from imagegraph.graph import Node, NodeType
from imagegraph.manifest import SeldonDeployment, share
from imagegraph.message import Message, merge
from imagegraph.metrics import Metrics
from imagegraph.ports import Port

log = logging.getLogger("imagegraph.service")

MAX_COPIES = 16  # of requests at a shadow at once; a slow one shall not fill the memory


@dataclass(frozen=True)
class Interface:
    """What a client may send and will get: the ports by name."""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]


@dataclass(frozen=True)
class Side:
    """One version of what is served: a graph, the call that reaches its nodes, its share in percent."""

    name: str
    root: Node
    call: Call
    traffic: int = 100
    shadow: bool = False


class Service:
    """A node or a graph with its state: loading, ready, failed or draining."""

    def __init__(
        self,
        name: str,
        sides: Sequence[Side],
        interface: Interface,
        load: Callable[[], Awaitable[None]],
        close: Callable[[], Awaitable[None]] | None = None,
        *,
        strict: bool,
        metrics: Metrics,
        role: type[Combiner] | type[Router] | None = None,
    ) -> None:
        """Takes what runs and how it gets ready.

        Args:
            sides: the versions among which requests are split; a shadow gets copies.
            load, close: get it ready; let go of what it holds.
            strict: refuse inputs that nobody reads; a node in a graph has to pass them on.
            role: what a single node does instead of `infer`, if anything.
        """
        self.name = name
        self.interface = interface
        self.role = role
        self.metrics = metrics
        self._sides = [side for side in sides if not side.shadow]
        self._shadows = [side for side in sides if side.shadow]
        self._load = load
        self._close = close
        self._strict = strict
        self._loaded = False
        self._draining = False
        self._copies: set[asyncio.Task[None]] = set()
        self.failure: ImagegraphError | None = None

    @property
    def ready(self) -> bool:
        """Whether requests are welcome."""
        return self._loaded and not self._draining and self.failure is None

    async def load(self) -> None:
        """Loads the weights; until then, requests are refused.

        Raises:
            ImagegraphError: they cannot be loaded; `failure` keeps it.
        """
        start = time.perf_counter()
        try:
            await self._load()
            self._loaded = True
            self.metrics.loaded(time.perf_counter() - start)
            log.info("'%s' is ready", self.name)
        except ImagegraphError as error:
            self.failure = error
            raise

    async def close(self) -> None:
        """Gives up copies under way and lets go of connections."""
        for copy in self._copies:
            copy.cancel()
        if self._close:
            await self._close()

    def drain(self) -> None:
        """Says to everybody who asks that this process is going; requests are still answered."""
        self._draining = True

    @contextlib.asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        if not self._loaded:
            raise self.failure or Unavailable(f"'{self.name}' is still loading its weights")
        with self.metrics.in_flight():
            yield

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
            side = self._choose(context)
            for shadow in self._shadows:
                self._copy(shadow, message, context.id)
            answer = await engine.run(side.root, message, side.call, context)
            parameters = dict(answer.parameters)
            for node in context.cache_hits:
                self.metrics.cache_hit(node)
            if context.cache_hits:
                parameters["cache_hits"] = ",".join(context.cache_hits)
            return replace(answer, id=message.id or context.id, origin=self.name, parameters=parameters)

    def _choose(self, context: Context) -> Side:
        """Returns the side that the request asks for or, by hash of its id, falls to."""
        if context.predictor is None:
            chosen = self._sides[share(context.id, [side.traffic for side in self._sides])]
            context.predictor = chosen.name
            return chosen
        for side in self._sides:
            if side.name == context.predictor:
                return side
        raise UnknownName("predictor", context.predictor, (side.name for side in self._sides))

    def _copy(self, shadow: Side, message: Message, request_id: str) -> None:
        """Sends a copy of a request to a shadow; its answer, late or wrong, harms nobody."""
        if share(request_id, [shadow.traffic, 100 - shadow.traffic]) == 0 and len(self._copies) < MAX_COPIES:

            async def run() -> None:
                try:
                    await engine.run(shadow.root, message, shadow.call, Context(id=request_id))
                except ImagegraphError as error:
                    log.warning("shadow '%s' failed request %s: %s", shadow.name, request_id, error)

            task = asyncio.create_task(run())
            self._copies.add(task)
            task.add_done_callback(self._copies.discard)

    async def aggregate(self, messages: Sequence[Message], context: Context) -> Message:
        """Unites the answers of children."""
        async with self._admitted():
            side = self._choose(context)
            answer = await side.call.aggregate(side.root, messages, context)
            return replace(answer, id=answer.id or context.id, origin=self.name)

    async def route(self, message: Message, context: Context) -> int:
        """Chooses a child."""
        async with self._admitted():
            side = self._choose(context)
            return await side.call.route(side.root, message, context)


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
    metrics: Metrics,
) -> Service:
    """Serves one component under the name and type that its node has in the graph."""
    entry = catalogue.entry(component)
    uses = [other for other in entry.uses.values() if bundle in catalogue.entry(other).bundles]
    local = LocalCall(catalogue, bundle, [*uses, component], device, max_queue, metrics.batch)
    role = next((kind for kind in (Combiner, Router) if issubclass(entry.kind, kind)), None)
    # A leaf: what the engine would do with the children is the business of whoever runs the graph.
    root = Node(name=name, entry=component, type=NodeType.TRANSFORMER if role else type_)
    signature = entry.signature
    side = Side("default", root, _cached(local, catalogue, bundle, store))
    interface = Interface(signature.inputs, signature.outputs)
    return Service(name, [side], interface, local.ready, strict=False, metrics=metrics, role=role)


def graph_service(
    catalogue: Catalogue,
    deployment: SeldonDeployment,
    *,
    device: str,
    max_queue: int,
    store: Store | None,
    metrics: Metrics,
) -> Service:
    """Serves the graphs of a manifest: nodes with endpoints in their pods, the others in this process.

    What the document says a client may send is what the first predictor that answers reads.
    """
    sides: list[Side] = []
    loads: list[Callable[[], Awaitable[None]]] = []
    closes: list[Callable[[], Awaitable[None]]] = []
    for predictor in deployment.spec.predictors:
        root, remote = predictor.root, predictor.endpoints
        entries = [node.entry for node in root.execution_order() if node.name not in remote]
        local = LocalCall(catalogue, predictor.bundle, entries, device, max_queue, metrics.batch)
        loads.append(local.ready)
        pods = HttpCall(remote)
        closes.append(pods.close)
        call = PerNodeCall(dict.fromkeys(remote, pods), local)
        cached = _cached(call, catalogue, predictor.bundle, store)
        sides.append(Side(predictor.name, root, cached, predictor.traffic, predictor.shadow))

    async def load() -> None:
        await asyncio.gather(*(one() for one in loads))

    async def close() -> None:
        await asyncio.gather(*(one() for one in closes))

    root = next(side.root for side in sides if not side.shadow)
    signatures = catalogue.signatures(root)
    inputs = {port: one.port for port, one in graph.inputs(root, signatures).items()}
    written = {port: one for signature in signatures.values() for port, one in signature.outputs.items()}
    outputs = {port: written[port] for port in sorted(graph.outputs(root, signatures))}
    return Service(
        deployment.metadata.name, sides, Interface(inputs, outputs), load, close, strict=True, metrics=metrics
    )


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
