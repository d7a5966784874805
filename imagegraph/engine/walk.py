"""Runs a graph over calls, in the order and by the rules of Seldon's executor.

Source: SeldonIO/seldon-core v1.17.1, executor/predictor/predictor_process.go. Unlike there, the
siblings of a failed child are cancelled at once, and a route out of range is an error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from imagegraph.component import Router
from imagegraph.engine.context import Call, Context, Event, Method
from imagegraph.engine.time_limit import within
from imagegraph.errors import DeadlineExceeded, ImagegraphError, describe
from imagegraph.message import Message
from imagegraph.spec.graph import Node, NodeType

Answer = TypeVar("Answer")


async def run(graph: Node, message: Message, call: Call, context: Context | None = None) -> Message:
    """Runs the graph on one request.

    Raises:
        ImagegraphError: of the first node that failed, by the order of the document, with its name.
        DeadlineExceeded: the context's deadline passed; all running calls were cancelled.
    """
    context = context or Context()
    context.graph = graph
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
