"""Results of nodes by what they were made of: a changed prompt re-runs only what depends on it.

A component is pure given its weights and the ports that it reads. So the key of a result is the
entry, the version of its weights and settings, and the content of those ports; what else the message
carries does not matter.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from imagegraph import tensors, wire
from imagegraph.component import Signature
from imagegraph.engine import Call, Context
from imagegraph.graph import Node, NodeType
from imagegraph.message import Message


class Store(Protocol):
    """Where encoded results are kept."""

    async def get(self, key: str) -> bytes | None:
        """Returns what was put under the key, or nothing."""

    async def put(self, key: str, value: bytes) -> None:
        """Keeps a value, for a while."""


class MemoryStore:
    """Keeps the results used last, up to a number of bytes, and no longer than they may live."""

    def __init__(self, max_bytes: int, lifetime_s: float = math.inf) -> None:
        """Takes the most bytes to hold; a larger single result is not kept."""
        self._max_bytes = max_bytes
        self._lifetime_s = lifetime_s
        self._values: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self.bytes = 0

    async def get(self, key: str) -> bytes | None:
        """Returns what was put under the key, and counts it as used."""
        value, end = self._values.get(key, (None, math.inf))
        if value is not None and end < time.monotonic():
            self._drop(key)
            return None
        if value is not None:
            self._values.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes) -> None:
        """Keeps a value; drops those not used for longest."""
        if len(value) > self._max_bytes:
            return
        if key in self._values:
            self._drop(key)
        self._values[key] = (value, time.monotonic() + self._lifetime_s)
        self.bytes += len(value)
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._values)))

    def _drop(self, key: str) -> None:
        self.bytes -= len(self._values.pop(key)[0])


class LayeredStore:
    """A near store before a far one: what is found far away is kept near."""

    def __init__(self, near: Store, far: Store) -> None:
        """Takes both."""
        self._near = near
        self._far = far

    async def get(self, key: str) -> bytes | None:
        """Returns what either has."""
        value = await self._near.get(key)
        if value is None:
            value = await self._far.get(key)
            if value is not None:
                await self._near.put(key, value)
        return value

    async def put(self, key: str, value: bytes) -> None:
        """Keeps a value in both."""
        await self._near.put(key, value)
        await self._far.put(key, value)


@dataclass(frozen=True)
class Purity:
    """What a node's result depends on besides the ports that it reads.

    Attributes:
        version: of the entry: its weights, settings and defaults.
    """

    signature: Signature
    version: str


@dataclass
class _Flight:
    """One computation that several equal requests wait for."""

    task: asyncio.Task[bytes]
    waiting: int = 0


class CachedCall:
    """A call that asks a node only for what is not in the store; equal requests ask once.

    A request opts out with the parameter `cache: false`.
    """

    def __init__(self, call: Call, store: Store, purity: Callable[[Node], Purity | None]) -> None:
        """Takes the call that computes, and what is known of each node; None is never kept."""
        self._call = call
        self._store = store
        self._purity = purity
        self._flights: dict[str, _Flight] = {}

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Answers from the store, from an equal request under way, or by the call."""
        purity = self._purity(node)
        if purity is None or message.parameters.get("cache") is False:
            return await self._call.infer(node, message, context)
        key = self._key(node, purity, message)
        stored = await self._store.get(key)
        if stored is not None:
            context.cache_hits.append(node.name)
        else:
            stored = await self._fly(key, node, message, context)
        answer = _unpack(stored)
        kept = {} if node.type is NodeType.MODEL else message.values
        return message.with_values({**kept, **answer}, node.name)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Asks the node: uniting values costs no more than looking them up."""
        return await self._call.aggregate(node, messages, context)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Asks the node."""
        return await self._call.route(node, message, context)

    def _key(self, node: Node, purity: Purity, message: Message) -> str:
        digest = hashlib.sha256(f"{node.entry}\0{purity.version}".encode())
        for name in sorted(purity.signature.inputs.keys() & message.values.keys()):
            digest.update(f"\0{name}\0{content_hash(message.values[name])}".encode())
        return digest.hexdigest()

    async def _fly(self, key: str, node: Node, message: Message, context: Context) -> bytes:
        """Computes once for all who ask meanwhile; stops when the last of them is gone."""
        flight = self._flights.get(key)
        if flight is None:
            context.cache_misses.append(node.name)
            task = asyncio.create_task(self._compute(key, node, message, context))
            flight = self._flights[key] = _Flight(task)
            task.add_done_callback(lambda _: self._flights.pop(key, None))
        else:
            context.cache_hits.append(node.name)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                flight.task.cancel()

    async def _compute(self, key: str, node: Node, message: Message, context: Context) -> bytes:
        answer = await self._call.infer(node, message, context)
        # A node that passes values on answers those too: they belong to the request, not to the result.
        purity = self._purity(node)
        assert purity is not None
        own = {name: value for name, value in answer.values.items() if name in purity.signature.outputs}
        await wire.encode_pictures(own)
        packed = _pack(own)
        await self._store.put(key, packed)
        return packed


def content_hash(value: Any) -> str:
    """Returns a hash of a value's datatype, shape and content, the same from Python or the wire."""
    tensor = tensors.of(value)
    digest = hashlib.sha256(f"{tensor.datatype}{tensor.shape}".encode())
    for part in tensors.raw(tensor):
        digest.update(part)
    return digest.hexdigest()


def _pack(values: Mapping[str, Any]) -> bytes:
    body, head = wire.encode(Message(values), "outputs")
    return (head or 0).to_bytes(4, "little") + body


def _unpack(packed: bytes) -> Mapping[str, Any]:
    return wire.decode(packed[4:], int.from_bytes(packed[:4], "little")).values
