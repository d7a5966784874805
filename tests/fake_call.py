"""Functions in place of nodes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from imagegraph.engine.context import Context, Method
from imagegraph.message import Message
from imagegraph.spec.graph import Node


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
