"""Values that a request brings instead of having them read: the nodes that would read them are not asked."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence

from imagegraph.engine.context import Call, Context
from imagegraph.message import Message
from imagegraph.ports import Port
from imagegraph.signature import Signature
from imagegraph.spec.graph import Node


class GivenCall:
    """Answers for a node what the request brings of its priors; asks it where that is none of them.

    So a request may bring a map without what else its reader would have said, as a drawing does.
    """

    def __init__(self, call: Call, priors: Mapping[str, Collection[str]]) -> None:
        """Takes the call that asks, and the names of the priors that every entry writes."""
        self._call = call
        self._priors = priors

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Answers the node's priors of the message, which then count as known; else asks."""
        names = brought(node.entry, self._priors.get(node.entry, ()), message.values)
        if not names:
            return await self._call.infer(node, message, context)
        context.cache_hits.append(node.name)
        return message.with_values({name: message.values[name] for name in names}, node.name)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Asks the node."""
        return await self._call.aggregate(node, messages, context)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Asks the node."""
        return await self._call.route(node, message, context)


def by_entry(priors: Mapping[str, Port], signatures: Mapping[str, Signature]) -> dict[str, tuple[str, ...]]:
    """Returns the names of the priors that each entry writes, of those that write some."""
    found = {
        entry: tuple(name for name in one.outputs if name in priors) for entry, one in signatures.items()
    }
    return {entry: names for entry, names in found.items() if names}


def brought(entry: str, priors: Collection[str], values: Container[str]) -> list[str]:
    """Returns the names of an entry's priors that are among `values`; none without that of its own name."""
    if entry in priors and entry not in values:
        return []
    return [name for name in priors if name in values]


def echo(signature: Signature, names: Collection[str]) -> Signature:
    """Returns the signature of a node that is not asked, since the request brings some of its outputs."""
    ports = {name: signature.outputs[name] for name in names}
    return Signature(ports, ports)
