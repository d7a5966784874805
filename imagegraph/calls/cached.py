"""Results of nodes by what they were made of: a changed prompt re-runs only what depends on it.

A component is pure given what computes it and the ports that it reads. So the key of a result is the
version that the node itself names (see `version`) and the content of those ports; what else the message
carries does not matter. A node that names no version is asked every time.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from imagegraph.calls.flights import Flights
from imagegraph.calls.store import Store
from imagegraph.engine.context import Call, Context
from imagegraph.errors import InvalidInput
from imagegraph.message import Message
from imagegraph.signature import Signature
from imagegraph.spec.content_hash import content_hash
from imagegraph.spec.graph import Node, NodeType
from imagegraph.wire import v2_json

BELIEVED_S = 0.5

# Returns the version of what computes a node's answers, if the node names one.
Versions = Callable[[Node], Awaitable[str]]


class CachedCall:
    """A call that asks a node only for what is not in the store; equal requests ask once.

    A request opts out with the parameter `cache: false`.
    """

    def __init__(
        self, call: Call, store: Store, signatures: Mapping[str, Signature], versions: Versions
    ) -> None:
        """Takes the call that computes, and what every entry reads and writes."""
        self._call = call
        self._store = store
        self._signatures = signatures
        self._versions = versions
        self._flights = Flights[bytes]()

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Answers from the store, from an equal request under way, or by the call."""
        content = version = ""
        if message.parameters.get("cache") is not False:
            version = await self._versions(node)
            content = version and await self._content(node, message)
        if not content:
            return await self._call.infer(node, message, context)
        key = _key(version, content)
        answer = None
        if key not in self._flights and (packed := await self._store.get(key)) is not None:
            answer = _unpack(packed)
        if answer is not None:
            context.cache_hits.append(node.name)
        else:
            answer = _unpack(
                await self._flights.join(
                    key, node, context, lambda own: self._compute(content, node, message, own)
                )
            )
            assert answer is not None
        kept = {} if node.type is NodeType.MODEL else message.values
        return message.with_values({**kept, **answer.values}, node.name, answer.version)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Asks the node: uniting values costs no more than looking them up."""
        return await self._call.aggregate(node, messages, context)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Asks the node."""
        return await self._call.route(node, message, context)

    async def _content(self, node: Node, message: Message) -> str:
        """Hashes what the node reads, as it reads it, and what is kept of its answer.

        Returns:
            Nothing where a value has no hash, or is one that the node will refuse: in its own words.
        """
        signature = self._signatures[node.entry]
        values = message.values
        try:
            read = {
                name: port.read(values[name]) for name, port in signature.inputs.items() if name in values
            }
            await v2_json.encode_pictures(read)
            return content_hash((read, sorted(signature.outputs)))
        except (InvalidInput, TypeError):
            return ""

    async def _compute(self, content: str, node: Node, message: Message, context: Context) -> bytes:
        signature = self._signatures[node.entry]
        # What else the message carries belongs to the request and not to the result, also under the name
        # of something that the node may write.
        asked = {name: value for name, value in message.values.items() if name in signature.inputs}
        answer = await self._call.infer(node, replace(message, values=asked), context)
        own = {name: value for name, value in answer.values.items() if name in signature.outputs}
        await v2_json.encode_pictures(own)
        packed = _pack(Message(own, version=answer.version))
        if answer.version:  # a pod may be another one than was asked for its version
            await self._store.put(_key(answer.version, content), packed)
        return packed


class BelievedVersions:
    """What pods say of their versions, believed for half a second before they are asked again.

    So a pod that is replaced is noticed as soon as that, though all its results may be known.
    """

    def __init__(self, ask: Versions) -> None:
        """Takes what asks a pod."""
        self._ask = ask
        self._asked: dict[str, tuple[float, asyncio.Future[str]]] = {}

    async def __call__(self, node: Node) -> str:
        """Returns the version that the node's pod names, if it names one; who asks at once asks together."""
        since, version = self._asked.get(node.name, (0.0, None))
        now = time.monotonic()
        if version is None or now - since > BELIEVED_S:
            version = asyncio.ensure_future(self._ask(node))
            self._asked[node.name] = (now, version)
        return version.result() if version.done() else await asyncio.shield(version)


def _key(version: str, content: str) -> str:
    return hashlib.sha256(f"{version} {content}".encode()).hexdigest()


def _pack(answer: Message) -> bytes:
    body, head = v2_json.encode(answer, "outputs")
    return (head or 0).to_bytes(4, "little") + body


def _unpack(packed: bytes) -> Message | None:
    """Reads what `_pack` writes; what is broken is as if it were not there."""
    try:
        return v2_json.decode(packed[4:], int.from_bytes(packed[:4], "little"))
    except InvalidInput:
        return None
