"""The way to nodes in this process: components, each on a thread of its own."""

from __future__ import annotations

import asyncio
import copy
import gc
import itertools
import logging
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from imagegraph.batching import Batch, Batcher
from imagegraph.catalogue import Catalogue
from imagegraph.component import (
    Batched,
    Combiner,
    Component,
    Job,
    JointProgress,
    Progress,
    Router,
    Signature,
)
from imagegraph.engine import Context, Event, Method, Turn
from imagegraph.errors import ImagegraphError, InvalidInput, OutOfMemory, Unsupported
from imagegraph.graph import Node, NodeType
from imagegraph.image import Image
from imagegraph.message import Message

log = logging.getLogger("imagegraph.local")

Kind = TypeVar("Kind", bound=Component)

# While one model loads, torch makes the tensors of all threads without memory ("meta").
_LOADING = threading.Lock()
_ENDLESS = Progress()  # nobody cancels what is done at once
PROBE_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # waits before the probes of a device; the last one stays


class Closing(ABC):
    """What is to be closed; a context manager of itself."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalCall(Closing):
    """Components in this process: loaded once each, in the background, one call at a time each.

    Use as a context manager, or `close` it; closing does not wait for running work. An entry that runs
    out of memory refuses requests until its smoke input can be computed again.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        bundle: str,
        entries: Iterable[str],
        device: str = "auto",
        max_queue: int = 128,
        observe: Callable[[Batch], None] | None = None,
    ) -> None:
        """Starts to load the components of `entries`, in the order given.

        Args:
            device: "cpu", "cuda" or "auto" (cuda if there is one).
            max_queue: most requests that wait for one component; more are refused.
            observe: told of every batch; what is computed inline is in none.
        """
        self._catalogue = catalogue
        self._bundle = bundle
        self._device = device
        names = list(dict.fromkeys(entries))
        # One loader: importing torch libraries from several threads at once is not safe.
        self._loader = ThreadPoolExecutor(1, "load")
        self._workers = {name: ThreadPoolExecutor(1, name) for name in names}
        self._batchers = {
            name: Batcher(
                _compute,
                worker,
                max_cost=catalogue.entry(name).kind.max_cost,
                max_queue=max_queue,
                observe=observe,
                release=_release_memory,
            )
            for name, worker in self._workers.items()
        }
        self._defaults = {name: catalogue.entry(name).variant(bundle).defaults for name in names}
        self._components: dict[str, Future[Component]] = {}
        self._probes: dict[str, asyncio.Task[None]] = {}
        self.load_seconds: dict[str, float] = {}
        for name in names:
            self._components[name] = self._loader.submit(self._load, name, names)

    def _load(self, name: str, names: Sequence[str]) -> Component:
        start = time.perf_counter()
        entry = self._catalogue.entry(name)
        # A component that is used but has no node of its own in the graph is left out. Those that
        # have are loaded by now or on this very thread before: the loader works in graph order.
        uses = {
            role: self._components[other].result()
            for role, other in entry.uses.items()
            if other in names and names.index(other) < names.index(name)
        }
        component = entry.build(self._bundle, uses)
        with _LOADING:
            component.load(entry.weights(self._bundle, self._device))
        self.load_seconds[name] = time.perf_counter() - start
        return component

    async def ready(self) -> None:
        """Waits until every component is loaded.

        Raises:
            ImagegraphError: of the first that failed to load, with the entry's name for a node.
        """
        for name in self._components:
            try:
                await self._loaded(name)
            except ImagegraphError as error:
                error.node = name
                raise

    async def _loaded(self, name: str) -> Component:
        loading = self._components[name]
        try:
            if loading.done():
                return loading.result()
            # Shielded: a request that is cancelled while it waits shall not cancel the loading for all.
            return await asyncio.shield(asyncio.wrap_future(loading))
        except ImagegraphError as error:
            # The same failure meets every request and node; each may write its own node on it.
            raise copy.copy(error) from error

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Runs `predict`; a MODEL answers its own outputs, others pass everything else on."""
        component = await self._loaded(node.entry)
        if isinstance(component, (Combiner, Router)):
            raise Unsupported(f"cannot infer: '{node.entry}' chooses or unites, it predicts nothing")
        signature = Signature.of(component)
        defaults = self._defaults[node.entry]

        def predict(progress: Progress) -> Mapping[str, Any]:
            arguments = signature.bind(message.values, defaults)
            if signature.progress:
                arguments[signature.progress] = progress
            return component.predict(**arguments)

        answer: Mapping[str, Any]
        if isinstance(component, Batched):
            # Off the component's own thread: the next batch is prepared while this one is computed.
            job = await asyncio.to_thread(
                lambda: component.prepare(**signature.bind(message.values, defaults))
            )
            answer = await self._submit(node, "infer", component.predict_batch, context, job)
        elif component.inline:
            answer = predict(_ENDLESS)
        else:
            answer = await self._submit(node, "infer", predict, context)
        kept = {} if node.type is NodeType.MODEL else message.values
        return message.with_values({**kept, **answer}, node.name)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Runs `aggregate` of a Combiner."""
        combiner = _as(Combiner, await self._loaded(node.entry), node)
        if combiner.inline:
            answer = combiner.aggregate(messages)
        else:
            answer = await self._submit(node, "aggregate", lambda _: combiner.aggregate(messages), context)
        return messages[0].with_values(answer, node.name)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Runs `route` of a Router."""
        router = _as(Router, await self._loaded(node.entry), node)
        defaults = self._defaults[node.entry]

        def route(_: Progress) -> int:
            return int(router.route(**Signature.of(router).bind(message.values, defaults)))

        if router.inline:
            return route(_ENDLESS)
        return int(await self._submit(node, "route", route, context))

    async def _submit(
        self, node: Node, method: Method, work: Callable[..., Any], context: Context, job: Job | None = None
    ) -> Any:
        """Has the entry's own thread do the work; when the caller is cancelled, tells it to stop."""
        loop = asyncio.get_running_loop()

        def listen(done: int, total: int, preview: Callable[[], Image] | None) -> None:
            event = Event(node, method, "progress", done=done, total=total, preview=preview)
            loop.call_soon_threadsafe(context.tell, event)

        progress = Progress(listen, context.deadline)

        def begin(waited_s: float, batch: int) -> None:
            context.turns[node.name] = Turn(waited_s, batch)

        if node.entry in self._probes:
            raise OutOfMemory(f"'{node.entry}' is out of memory; it will be back once it is not")
        # Work that is no job is computed alone: no other has its key.
        key, cost = (job.key, job.cost) if job else (object(), 1.0)
        task = _Task(work, progress, job)
        try:
            return await self._batchers[node.entry].submit(task, key, cost, context.deadline, begin)
        except asyncio.CancelledError:
            progress.cancel()
            raise
        except OutOfMemory:
            if node.entry not in self._probes:
                self._probes[node.entry] = asyncio.create_task(self._probe(node.entry))
            raise

    @property
    def exhausted(self) -> Sequence[str]:
        """The entries that ran out of memory and have not shown yet that they work again."""
        return list(self._probes)

    async def _probe(self, name: str) -> None:
        """Computes the entry's smoke input until that works again, with growing pauses."""
        log.error("'%s' is out of memory", name)
        component = await self._loaded(name)
        signature = Signature.of(component)

        def compute() -> None:
            _release_memory()
            entry = self._catalogue.entry(name)
            try:
                arguments = signature.bind(entry.smoke_values(), self._defaults[name])
            except (OSError, InvalidInput) as error:
                log.warning("'%s' has no smoke input here to be probed with: %s", name, error)
                return
            if signature.progress:
                arguments[signature.progress] = Progress()
            component.predict(**arguments)

        try:
            for attempt in itertools.count():
                await asyncio.sleep(PROBE_S[min(attempt, len(PROBE_S) - 1)])
                try:
                    await asyncio.get_running_loop().run_in_executor(self._workers[name], compute)
                except Exception as error:
                    log.warning("'%s' is still out of order: %s: %s", name, type(error).__name__, error)
                else:
                    log.info("'%s' works again", name)
                    return
        finally:
            del self._probes[name]

    def close(self) -> None:
        """Gives up queued work and lets go of the components."""
        for probe in self._probes.values():
            probe.cancel()
        self._loader.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers.values():
            worker.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _Task:
    """What waits for a component's thread: work that takes a Progress, or all jobs of a batch and one."""

    work: Callable[..., Any]
    progress: Progress
    job: Job | None


def _compute(tasks: Sequence[_Task]) -> Sequence[Any]:
    first = tasks[0]
    if first.job is None:
        first.progress.check()
        return [first.work(first.progress)]
    progress = JointProgress([task.progress for task in tasks])
    progress.check()
    return cast(Sequence[Any], first.work([task.job for task in tasks], progress))


def _as(kind: type[Kind], component: Component, node: Node) -> Kind:
    if not isinstance(component, kind):
        asked = "aggregate" if kind is Combiner else "route"
        raise Unsupported(f"cannot {asked}: '{node.entry}' is no {kind.__name__}")
    return component


def _release_memory() -> None:
    """Gives what torch keeps for later back to the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
