"""Runs a graph over calls, in the order and by the rules of Seldon's executor.

Source: SeldonIO/seldon-core v1.17.1, executor/predictor/predictor_process.go. Unlike there, the
siblings of a failed child are cancelled at once, and a route out of range is an error.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeVar

from imagegraph.component import Router
from imagegraph.errors import DeadlineExceeded, ImagegraphError, describe
from imagegraph.graph import Node, NodeType
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.time_limit import within

Method = Literal["infer", "aggregate", "route"]
Answer = TypeVar("Answer")


class Event(NamedTuple):
    """Something happened at a node: started, a step of progress, finished or failed.

    Attributes:
        seconds: for "finished" and "failed", how long the call took.
        done, total, preview: for "progress", see `component.Progress`.
        message: for "finished" by infer or aggregate, what the node answered.
    """

    node: Node
    method: Method
    kind: Literal["started", "progress", "finished", "failed"]
    seconds: float = 0.0
    done: int = 0
    total: int = 0
    preview: Callable[[], Image] | None = None
    message: Message | None = None


class Turn(NamedTuple):
    """How a node's work came to be done: how long it waited (s), and how many were computed together."""

    waited_s: float
    batch: int


@dataclass
class Context:
    """What travels with a request beside its values.

    Attributes:
        id: the request's id, the same at every node.
        deadline: `time.monotonic()` at which the whole graph must have answered, if any.
        listener: told of every event, on the engine's thread.
        events: all events so far; `timings` sums them up.
        cache_hits: the nodes that were not asked, since their result was known.
        cache_misses: those that were asked, though their result might have been known.
        predictor: the version of the graph that is asked for, or that answers.
        trace: the headers of W3C Trace Context, as they go on to nodes.
        turns: of the nodes that were computed in this process.
    """

    id: str = field(default_factory=lambda: os.urandom(16).hex())
    deadline: float | None = None
    listener: Callable[[Event], None] | None = None
    events: list[Event] = field(default_factory=list)
    cache_hits: list[str] = field(default_factory=list)
    cache_misses: list[str] = field(default_factory=list)
    predictor: str | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
    turns: dict[str, Turn] = field(default_factory=dict)

    def tell(self, event: Event) -> None:
        """Records an event and tells the listener."""
        if event.kind != "progress":
            self.events.append(event)
        if self.listener:
            self.listener(event)

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent in each finished node."""
        seconds: dict[str, float] = {}
        for event in self.events:
            if event.kind == "finished":
                seconds[event.node.name] = seconds.get(event.node.name, 0.0) + event.seconds
        return seconds


class Call(Protocol):
    """How nodes are reached: in process, over HTTP, over gRPC, or as doubles in tests."""

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Asks a MODEL, TRANSFORMER or OUTPUT_TRANSFORMER."""

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Asks a COMBINER to make one message of its children's answers."""

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Asks a ROUTER for the index of a child, -1 for all, -2 for none."""


async def run(graph: Node, message: Message, call: Call, context: Context | None = None) -> Message:
    """Runs the graph on one request.

    Raises:
        ImagegraphError: of the first node that failed, by the order of the document, with its name.
        DeadlineExceeded: the context's deadline passed; all running calls were cancelled.
    """
    context = context or Context()
    seconds = None if context.deadline is None else context.deadline - time.monotonic()
    if seconds is not None and seconds <= 0:
        raise DeadlineExceeded("out of time before the first node")
    try:
        return await within(seconds, _walk(graph, message, call, context))
    except TimeoutError as error:
        running = ", ".join(_running(context))
        raise DeadlineExceeded(f"out of time in node {running}" if running else "out of time") from error


async def _walk(node: Node, message: Message, call: Call, context: Context) -> Message:
    if node.type in (NodeType.MODEL, NodeType.TRANSFORMER):
        message = await timed("infer", node, call.infer(node, message, context), context)
    if node.children:
        message = await _ask_children(node, message, call, context)
    if node.type is NodeType.OUTPUT_TRANSFORMER:
        message = await timed("infer", node, call.infer(node, message, context), context)
    return message


async def _ask_children(node: Node, message: Message, call: Call, context: Context) -> Message:
    children = node.children
    if node.type is NodeType.ROUTER:
        choice = await timed("route", node, call.route(node, message, context), context)
        if choice == Router.NO_CHILD:
            return message
        if choice != Router.ALL_CHILDREN:
            if not 0 <= choice < len(children):
                raise _at(node, ImagegraphError(f"routed to child {choice} of {len(children)}"))
            children = (children[choice],)
    answers = await gather([_walk(child, message, call, context) for child in children])
    if node.type is NodeType.COMBINER:
        return await timed("aggregate", node, call.aggregate(node, answers, context), context)
    return answers[0]


async def gather(works: Sequence[Awaitable[Message]]) -> list[Message]:
    """Awaits all; when one fails, cancels the others and raises the first failure in order."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
        return [task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The traceback of an error holds this frame, which shall not hold the error.
        tasks.clear()
        del task


async def timed(method: Method, node: Node, call: Awaitable[Answer], context: Context) -> Answer:
    """Awaits one call, tells when it starts and ends, and puts the node's name on its errors.

    Raises:
        ImagegraphError: whatever else the call raises becomes one.
    """
    context.tell(Event(node, method, "started"))
    start = time.perf_counter()
    try:
        answer = await call
    except (Exception, asyncio.CancelledError) as error:
        context.tell(Event(node, method, "failed", time.perf_counter() - start))
        if isinstance(error, asyncio.CancelledError):
            raise
        if not isinstance(error, ImagegraphError):
            raise _at(node, ImagegraphError(describe(error))) from error
        error.node = error.node or node.name
        raise
    message = answer if isinstance(answer, Message) else None
    context.tell(Event(node, method, "finished", time.perf_counter() - start, message=message))
    return answer


def _at(node: Node, error: ImagegraphError) -> ImagegraphError:
    """Puts a node's name on an error, which shall be raised by no frame that has it: they hold each other."""
    error.node = node.name
    return error


def _running(context: Context) -> list[str]:
    """Names the nodes whose last event is a failure by cancellation, or that have not ended."""
    last = {event.node.name: event.kind for event in context.events}
    return [name for name, kind in last.items() if kind != "finished"]
