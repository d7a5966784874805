"""The ways out of the engine to a node: in this process, over HTTP, or to a function in tests."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import aiohttp
import orjson

from imagegraph import wire
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
from imagegraph.engine import Call, Context, Event, Method
from imagegraph.errors import DeadlineExceeded, ImagegraphError, InvalidInput
from imagegraph.graph import Node, NodeType
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.transport import post

Kind = TypeVar("Kind", bound=Component)

# While one model loads, torch makes the tensors of all threads without memory ("meta").
_LOADING = threading.Lock()


class LocalCall:
    """Components in this process: loaded once each, in the background, one call at a time each.

    Use as a context manager, or `close` it; closing does not wait for running work.
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
            observe: told of every batch.
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
            )
            for name, worker in self._workers.items()
        }
        self._defaults = {name: catalogue.entry(name).variant(bundle).defaults for name in names}
        self._components: dict[str, Future[Component]] = {}
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
        if self._device == "auto":
            self._device = _best_device()
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
        # Shielded: a request that is cancelled while it waits shall not cancel the loading for all.
        try:
            return await asyncio.shield(asyncio.wrap_future(self._components[name]))
        except ImagegraphError as error:
            # The same failure meets every request and node; each may write its own node on it.
            raise copy.copy(error) from error

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Runs `predict`; a MODEL answers its own outputs, others pass everything else on."""
        component = await self._loaded(node.entry)
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
        else:
            answer = await self._submit(node, "infer", predict, context)
        kept = {} if node.type is NodeType.MODEL else message.values
        return message.with_values({**kept, **answer}, node.name)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Runs `aggregate` of a Combiner."""
        combiner = _as(Combiner, await self._loaded(node.entry), node)
        answer = await self._submit(node, "aggregate", lambda _: combiner.aggregate(messages), context)
        return messages[0].with_values(answer, node.name)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Runs `route` of a Router."""
        router = _as(Router, await self._loaded(node.entry), node)

        def route(_: Progress) -> int:
            return router.route(**Signature.of(router).bind(message.values, self._defaults[node.entry]))

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
        # Work that is no job is computed alone: no other has its key.
        key, cost = (job.key, job.cost) if job else (object(), 1.0)
        try:
            return await self._batchers[node.entry].submit(
                _Task(work, progress, job), key, cost, context.deadline
            )
        except asyncio.CancelledError:
            progress.cancel()
            raise

    def close(self) -> None:
        """Gives up queued work and lets go of the components."""
        self._loader.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers.values():
            worker.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
        raise ImagegraphError(f"is a {node.type}, but '{node.entry}' is no {kind.__name__}")
    return component


def _best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class HttpCall:
    """Nodes behind the V2 REST protocol, with the binary extension on requests and answers."""

    def __init__(self, endpoints: Mapping[str, str]) -> None:
        """Takes the base URL of every node (http://host:port)."""
        self._endpoints = endpoints
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes the pooled connections."""
        if self._session:
            await self._session.close()

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """POSTs /v2/models/NODE/infer."""
        body, head = wire.encode(message, "inputs")
        headers = {"Content-Type": "application/octet-stream", wire.HEADER_LENGTH: str(head)}
        answer, length = await self._post(node, "infer", body, headers, context)
        return self._answer(node, answer, length, message.id)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """POSTs /v2/models/NODE/aggregate with the list of answers, as JSON."""
        parts = [wire.encode(message, "outputs", binary=False)[0] for message in messages]
        body = b"[" + b",".join(parts) + b"]"
        answer, length = await self._post(
            node, "aggregate", body, {"Content-Type": "application/json"}, context
        )
        return self._answer(node, answer, length, messages[0].id)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """POSTs /v2/models/NODE/route; the answer is a JSON list of one index."""
        body, _ = wire.encode(message, "inputs", binary=False)
        answer, _ = await self._post(node, "route", body, {"Content-Type": "application/json"}, context)
        try:
            choice = orjson.loads(answer)
        except orjson.JSONDecodeError:
            choice = None
        if not (isinstance(choice, list) and len(choice) == 1 and type(choice[0]) is int):
            raise ImagegraphError(f"answered {answer[:80]!r}, not a JSON list of one index")
        return choice[0]

    def _answer(self, node: Node, body: bytes, header_length: int | None, request_id: str) -> Message:
        try:
            decoded = wire.decode(body, header_length)
        except InvalidInput as error:  # the node's fault, not that of who asked us
            raise ImagegraphError(f"answered no V2 response: {error}") from error
        return Message(decoded.values, request_id, node.name, decoded.parameters)

    async def _post(
        self, node: Node, method: Method, body: bytes, headers: dict[str, str], context: Context
    ) -> tuple[bytes, int | None]:
        if node.name not in self._endpoints:
            raise ImagegraphError(f"no endpoint; endpoints: {sorted(self._endpoints)}")
        url = f"{self._endpoints[node.name]}/v2/models/{node.name}/{method}"
        seconds = None if context.deadline is None else context.deadline - time.monotonic()
        if seconds is not None and seconds <= 0:
            raise DeadlineExceeded("out of time before the call")
        if self._session is None:  # it belongs to the loop that runs the graph
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return await post(self._session, url, body, {**headers, "X-Request-Id": context.id}, seconds)


class PerNodeCall:
    """Some nodes by a call of their own, the others by another."""

    def __init__(self, own: Mapping[str, Call], other: Call) -> None:
        """Takes calls by the node's name, and the one for all other nodes."""
        self._own = own
        self._other = other

    def _of(self, node: Node) -> Call:
        return self._own.get(node.name, self._other)

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Asks the node by its call."""
        return await self._of(node).infer(node, message, context)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Asks the node by its call."""
        return await self._of(node).aggregate(node, messages, context)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Asks the node by its call."""
        return await self._of(node).route(node, message, context)


class FakeCall:
    """Functions in place of nodes, for tests of whatever runs a graph.

    A function takes a message (a COMBINER's: a list of messages) and returns the answer.
    """

    def __init__(self, functions: Mapping[str, Callable[[Any], Any]]) -> None:
        """Takes one function, plain or async, a node name."""
        self._functions = functions
        self.calls: list[tuple[str, Method]] = []

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Calls the function of the node."""
        answer: Message = await self._call(node, "infer", message)
        return answer

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Calls the function of the node."""
        answer: Message = await self._call(node, "aggregate", messages)
        return answer

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Calls the function of the node."""
        answer: int = await self._call(node, "route", message)
        return answer

    async def _call(self, node: Node, method: Method, argument: Any) -> Any:
        self.calls.append((node.name, method))
        answer = self._functions[node.name](argument)
        return await answer if asyncio.iscoroutine(answer) else answer
