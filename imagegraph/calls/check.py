"""What can be known of a request before the first node of its graph runs; what must fail is refused at once.

Follows the message as the engine does, with the values that the request brings and the names of those that
nodes write on the way. Which way a ROUTER chooses is not known: refused is what every way refuses, and once
it has chosen, what the chosen one does.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imagegraph.calls.check_plan import OTHERS, Known, Plan, Walk
from imagegraph.calls.given import GivenCall, brought, by_entry, echo
from imagegraph.engine.context import Call, Context
from imagegraph.errors import UnknownName
from imagegraph.message import Message, Tensor
from imagegraph.signature import Signature
from imagegraph.spec import graph
from imagegraph.spec.catalogue import Parts
from imagegraph.spec.graph import Node, NodeType

# Of a message that is read on the event loop; a larger one is in a thread.
MAX_ITEMS, MAX_CHARACTERS = 1000, 2**16
MAX_PLANS = 256  # that are kept; clients choose which of the known names they give


class Check:
    """Checks the requests of one graph.

    Attributes:
        priors: what a request may bring instead of having it read; see `graph.priors`.
        readers: the names of those that each entry writes.
    """

    def __init__(self, root: Node, signatures: Mapping[str, Signature], parts: Mapping[str, Parts]) -> None:
        """Takes the graph, the signature of every entry, and what those have that are known here."""
        self.root = root
        self._signatures = signatures
        self._parts = parts
        self._nodes = {node.name: node for node in root.walk()}
        self.priors = graph.priors(root, signatures)
        self.readers = by_entry(self.priors, signatures)
        used = [signatures[node.entry] for node in self._nodes.values()]
        self._names = frozenset(name for one in used for name in (*one.inputs, *one.outputs))
        self._plan = functools.lru_cache(MAX_PLANS)(self._make_plan)

    def __call__(
        self, values: Mapping[str, Any], outputs: Iterable[str] | None = None, node: Node | None = None
    ) -> None:
        """Checks a request, or what comes to a node on its way.

        Args:
            values: that the message brings.
            outputs: names of the values that are wanted back, if not all.
            node: of the graph; its root by default.

        Raises:
            InvalidInput: a value is wrong for, lacks at, or does not go with, a node that will be asked,
                whose name the error has.
            UnknownName: a value is wanted back that no answer can have.
        """
        plan = self._plan((node or self.root).name, self._names.intersection(values))
        plan(values, {})
        if outputs and (known := plan.known):
            others = set(values).difference(self._names) if OTHERS in known.given else set()
            possible = known.written | known.given.difference({OTHERS}) | others
            for name in outputs:
                if name not in possible:
                    raise UnknownName("output", name, possible)

    def _make_plan(self, node: str, names: frozenset[str]) -> Plan:
        known = Known(names | {OTHERS}, frozenset(), {})
        given = {entry: brought(entry, priors, names) for entry, priors in self.readers.items()}
        spared = {entry: echo(self._signatures[entry], own) for entry, own in given.items() if own}
        return Walk({**self._signatures, **spared}, self._parts, {}).plan(self._nodes[node], known)

    async def message(
        self, message: Message, outputs: Iterable[str] | None = None, node: Node | None = None
    ) -> None:
        """Checks the same beside other requests: what takes long to read is read in a thread."""
        if _is_large(message.values):
            await asyncio.to_thread(self, message.values, outputs, node)
        else:
            self(message.values, outputs, node)


class CheckedCall:
    """A call that checks the way that a ROUTER has chosen before its first node is asked."""

    def __init__(self, call: Call, check: Check) -> None:
        """Takes both."""
        self._call = call
        self._check = check

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Asks the node."""
        return await self._call.infer(node, message, context)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Asks the node."""
        return await self._call.aggregate(node, messages, context)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Asks the node; checks the child that it chose."""
        choice = await self._call.route(node, message, context)
        if 0 <= choice < len(node.children):
            await self._check.message(message, None, node.children[choice])
        return choice


def checked(call: Call, check: Check) -> Call:
    """Returns the call with checks on the way, where the graph has a ROUTER, and without needless readers."""
    if check.readers:
        call = GivenCall(call, check.readers)
    routers = any(node.type is NodeType.ROUTER for node in check.root.walk())
    return CheckedCall(call, check) if routers else call


def _is_large(values: Mapping[str, Any]) -> bool:
    """Whether reading the values may keep others waiting: many items, or text that may be a picture."""
    for value in values.values():
        items = value.data if isinstance(value, Tensor) else value
        if not isinstance(items, (list, str, bytes)):
            continue
        if len(items) > MAX_ITEMS and isinstance(items, list):
            return True
        for item in items if isinstance(items, list) else [items]:
            if isinstance(item, (str, bytes)) and len(item) > MAX_CHARACTERS:
                return True
    return False
