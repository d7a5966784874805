"""Puts together what a process serves: the calls that reach the nodes, and what stands before them."""

from __future__ import annotations

import asyncio
import difflib
import functools
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from imagegraph.calls.cached import BelievedVersions, CachedCall, Versions
from imagegraph.calls.check import Check, checked
from imagegraph.calls.in_process import LocalCall
from imagegraph.calls.placement import PerNodeCall, PortsCall
from imagegraph.calls.readiness import Watch
from imagegraph.calls.redis_store import RedisStore
from imagegraph.calls.store import LayeredStore, MemoryStore, Store
from imagegraph.component import Combiner, Router
from imagegraph.engine.context import Call
from imagegraph.observe.request_log import Journal
from imagegraph.observe.tracing import TracedCall
from imagegraph.serve.kept_values import References
from imagegraph.serve.service import Service, Side
from imagegraph.signature import Signature
from imagegraph.spec.catalogue import ALIKE, Catalogue
from imagegraph.spec.graph import Node, NodeType
from imagegraph.spec.interface import Interface
from imagegraph.spec.seldon import Predictor, SeldonDeployment

log = logging.getLogger("imagegraph.serve.build")

REFERENCES_BYTES = 64 * 2**20
REFERENCES_S = 600.0
MAX_NAME = 40  # characters of a name that may be misspelt


class RemoteCall(Call, Protocol):
    """A call to nodes in processes of their own."""

    async def unready(self) -> Sequence[str]:
        """Asks every node once whether it is ready; returns those without a pod that says so."""

    async def version(self, node: Node) -> str:
        """Returns the version of what computes the node's answers, if the node names one."""

    async def close(self) -> None:
        """Closes the connections."""


# Makes the call from the nodes' addresses (host:port) and the seconds that some may take at most.
Connect = Callable[[Mapping[str, str], Mapping[str, float]], RemoteCall]


@dataclass(frozen=True)
class Settings:
    """What holds for whatever is served.

    Attributes:
        device: see `LocalCall`.
        max_queue: most requests that wait for one entry.
        watchdog_s: longest that an entry may compute without a sign of life; None is what the catalogue says.
        cache_bytes: memory for results of nodes; 0 keeps none there.
        redis_url: a Redis that keeps them for all pods, too.
        redis_lifetime_s: and for how long.
        wait_s: how long to wait, before requests are welcome, until the pods of a predictor with traffic
            are ready.
    """

    device: str = "auto"
    max_queue: int = 128
    watchdog_s: float | None = None
    cache_bytes: int = 0
    redis_url: str | None = None
    redis_lifetime_s: float = 3600.0
    wait_s: float = 0.0


class Assembly:
    """Makes services of one catalogue, settings and journal."""

    def __init__(self, catalogue: Catalogue, settings: Settings, journal: Journal) -> None:
        """Takes what all of them have in common."""
        self._catalogue = catalogue
        self._settings = settings
        self._journal = journal
        memory = MemoryStore(settings.cache_bytes) if settings.cache_bytes else None
        self._redis = None
        if settings.redis_url:
            self._redis = RedisStore(
                settings.redis_url, settings.redis_lifetime_s, journal.metrics.store_failed
            )
        self._store: Store | None = memory or self._redis
        if memory and self._redis:
            self._store = LayeredStore(memory, self._redis)
        # Where pods share a Redis, any of them can answer for a reference.
        if self._redis:
            self._references = References(self._redis)
        else:
            self._references = References(MemoryStore(REFERENCES_BYTES, REFERENCES_S), REFERENCES_BYTES)

    def node(
        self, component: str, bundle: str, name: str, type_: NodeType, predictor: str = "default"
    ) -> Service:
        """Serves one component under the name and type that its node has in the graph of a predictor."""
        catalogue = self._catalogue
        entry = catalogue.entry(component)
        local = self._local(bundle, catalogue.with_uses([component], bundle))
        role = next((kind for kind in (Combiner, Router) if issubclass(entry.kind, kind)), None)
        # A leaf: what the engine would do with children is the business of whoever runs the graph.
        root = Node(name=name, entry=component, type=NodeType.TRANSFORMER if role else type_)
        signature = catalogue.signature(component, bundle)
        signatures = {component: signature}
        call = self._traced(self._cached(local, signatures, local.version), frozenset())
        check = Check(root, signatures, catalogue.parts(root, bundle, [name]))
        side = Side(predictor, root, call, signatures, check)

        async def close() -> None:
            await self._close_store()
            local.close()

        return Service(
            name,
            [side],
            Interface.of_entry(component, bundle, catalogue),
            local.ready,
            close,
            strict=False,
            misspelt=self._misspelt(signature) if type_ is NodeType.MODEL else lambda name, given: False,
            journal=self._journal,
            references=self._references,
            role=role,
            trouble=lambda: _trouble([local]),
            hang=lambda: _hang([local]),
            version=lambda: local.versions.get(component, ""),
        )

    def _misspelt(self, signature: Signature) -> Callable[[str, Collection[str]], bool]:
        """Returns what tells a misspelt input from a value that is meant for another node.

        Whoever runs the graph hands a MODEL the values of all nodes. Those have names of the catalogue, or
        of a stranger's; misspelt is what is neither known nor far from an input that nobody gave.
        """

        @functools.cache
        def known() -> frozenset[str]:
            entries = self._catalogue.entries.items()
            signatures = [
                self._catalogue.signature(name, one) for name, entry in entries for one in entry.bundles
            ]
            return frozenset(name for one in signatures for name in (*one.inputs, *one.outputs))

        def misspelt(name: str, given: Collection[str]) -> bool:
            if len(name) > MAX_NAME:
                return False
            close = difflib.get_close_matches(name, signature.inputs, n=1, cutoff=ALIKE)
            return bool(close) and close[0] not in given and name not in known()

        return misspelt

    def graph(self, deployment: SeldonDeployment, connect: Mapping[str, Connect]) -> Service:
        """Serves the graphs of a manifest: nodes with endpoints in their pods, the others in this process.

        What the document says a client may send is what the first predictor that answers reads.

        Args:
            connect: how to reach the pods, by the type of their endpoints.
        """
        sides: list[Side] = []
        locals_: list[LocalCall] = []
        remotes: list[RemoteCall] = []
        watches: dict[str, Watch] = {}
        for predictor in deployment.spec.predictors:
            root, endpoints = predictor.root, predictor.endpoints
            signatures = self._catalogue.signatures(root, predictor.bundle)
            local = self._local(predictor.bundle, self._catalogue.needed(root, elsewhere=endpoints))
            locals_.append(local)
            call = self._cached(local, signatures, local.version)
            if endpoints:
                pods = self._pods(deployment, predictor, connect)
                remotes.append(pods)
                tell, waits = self._journal.metrics.predictor_up, bool(self._settings.wait_s)
                watches[predictor.name] = Watch(predictor.name, pods.unready, tell, up=not waits)
                asked = self._cached(PortsCall(pods, signatures), signatures, BelievedVersions(pods.version))
                call = PerNodeCall(dict.fromkeys(endpoints, asked), call)
            check = Check(
                root, signatures, self._catalogue.parts(root, predictor.bundle, elsewhere=endpoints)
            )
            call = checked(self._traced(call, frozenset(endpoints)), check)
            about = check, predictor.traffic, predictor.shadow, watches.get(predictor.name)
            sides.append(Side(predictor.name, root, call, signatures, *about))

        async def load() -> None:
            await asyncio.gather(*(local.ready() for local in locals_))
            for watch in watches.values():
                watch.start()
            if self._settings.wait_s:
                await self._wait_for(sides)

        async def close() -> None:
            for watch in watches.values():
                watch.stop()
            await asyncio.gather(self._close_store(), *(pods.close() for pods in remotes))
            for local in locals_:
                local.close()

        position = next(index for index, side in enumerate(sides) if not side.shadow)
        bundle = deployment.spec.predictors[position].bundle
        return Service(
            deployment.metadata.name,
            sides,
            Interface.of_graph(sides[position].root, bundle, self._catalogue),
            load,
            close,
            strict=True,
            journal=self._journal,
            references=self._references,
            trouble=lambda: _trouble(locals_),
            hang=lambda: _hang(locals_),
        )

    async def _wait_for(self, sides: Sequence[Side]) -> None:
        """Waits until the pods of a predictor with traffic are ready, but not for ever.

        The others need not be waited for: nothing is sent to them before they are ready.
        """
        seconds = self._settings.wait_s
        answering = [side for side in sides if not side.shadow]
        asked = [side for side in answering if side.traffic or len(answering) == 1]
        watches = [side.watch for side in asked if side.watch]
        if len(watches) < len(asked):  # one runs in this process
            return
        seen = [asyncio.ensure_future(watch.seen()) for watch in watches]
        try:
            done, _ = await asyncio.wait(seen, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in seen:
                one.cancel()
        if not done:
            log.warning("no pods are ready after %g s; requests are welcome all the same", seconds)

    def _local(self, bundle: str, entries: Sequence[str]) -> LocalCall:
        settings, metrics = self._settings, self._journal.metrics
        limits = settings.max_queue, settings.watchdog_s
        local = LocalCall(self._catalogue, bundle, entries, settings.device, *limits, metrics.batch)
        metrics.queues.append(lambda: (local.queued, settings.max_queue * len(entries)))
        return local

    def _pods(
        self, deployment: SeldonDeployment, predictor: Predictor, connect: Mapping[str, Connect]
    ) -> RemoteCall:
        endpoints = predictor.endpoints
        (type_,) = {endpoint.type for endpoint in endpoints.values()}
        addresses = {node: endpoint.address for node, endpoint in endpoints.items()}
        return connect[type_](addresses, predictor.timeouts_s(deployment.spec.annotations))

    def _cached(self, call: Call, signatures: Mapping[str, Signature], versions: Versions) -> Call:
        """Puts the cache, if one is wanted, before a call."""
        return CachedCall(call, self._store, signatures, versions) if self._store else call

    def _traced(self, call: Call, remote: frozenset[str]) -> Call:
        """Puts the spans, if they are wanted, before a call."""
        return TracedCall(call, self._journal.tracing, remote) if self._journal.tracing else call

    async def _close_store(self) -> None:
        if self._redis:
            await self._redis.close()


def _trouble(calls: Sequence[LocalCall]) -> str:
    exhausted = [name for call in calls for name in call.exhausted]
    return f"out of memory: {', '.join(exhausted)}" if exhausted else ""


def _hang(calls: Sequence[LocalCall]) -> str:
    hung = [name for call in calls for name in call.hung]
    return f"no sign of life: {', '.join(hung)}" if hung else ""
