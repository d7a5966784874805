"""Calls made of others: which call asks which node, and what of a message it gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from imagegraph.engine.context import Call, Context
from imagegraph.message import Message
from imagegraph.signature import Signature
from imagegraph.spec.graph import Node, NodeType


class PortsCall:
    """Sends a node what it reads, and nothing else: other values stay here, never looked into.

    So a picture that only the last node of a chain reads does not travel to all before it.
    """

    def __init__(self, call: Call, signatures: Mapping[str, Signature]) -> None:
        """Takes the call that reaches the nodes, and the signature of every entry."""
        self._call = call
        self._signatures = signatures

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Asks the node; other nodes than a MODEL pass on what they did not write."""
        answer = await self._call.infer(node, self._read(node, message), context)
        written = self._signatures[node.entry].outputs
        own = {name: value for name, value in answer.values.items() if name in written}
        kept = {} if node.type is NodeType.MODEL else message.values
        return message.with_values({**kept, **own}, node.name, answer.version)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Asks the node: a combiner reads everything."""
        return await self._call.aggregate(node, messages, context)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Asks the node."""
        return await self._call.route(node, self._read(node, message), context)

    def _read(self, node: Node, message: Message) -> Message:
        read = self._signatures[node.entry].inputs
        values = {name: value for name, value in message.values.items() if name in read}
        return replace(message, values=values)


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
