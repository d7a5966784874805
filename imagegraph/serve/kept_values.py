"""Values by reference: kept for a while under the hash of their content, so that a client may fetch them."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Sequence
from typing import Any

from imagegraph.calls.store import Store
from imagegraph.errors import Expired
from imagegraph.message import Tensor
from imagegraph.wire import tensors

PATH = "/v2/results/"
_PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


class References:
    """Keeps contents in a store, which bounds their bytes and their time."""

    def __init__(self, store: Store, max_bytes: float = math.inf) -> None:
        """Takes the store, and how much of one value it can hold."""
        self._store = store
        self._max_bytes = max_bytes

    async def describe(self, name: str, value: Any) -> dict[str, Any]:
        """Keeps a value; returns its tensor with a reference to each item (numbers: to all at once).

        Returns:
            No references where not all of it could be kept: they would lead nowhere.
        """
        # In a thread: a picture may have to be encoded first.
        tensor, contents = await asyncio.to_thread(_contents, value)
        if not await self._keep(contents):
            contents = []
        references = [
            {
                "href": PATH + digest,
                "sha256": digest,
                "bytes": len(content),
                "content_type": content_type(content),
            }
            for digest, content in contents
        ]
        return {
            "name": name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "references": references,
        }

    async def _keep(self, contents: Sequence[tuple[str, bytes]]) -> bool:
        # What is too large as a whole would drive its own beginning out.
        if sum(len(content) for _, content in contents) > self._max_bytes:
            return False
        for digest, content in contents:
            if not await self._store.put(_key(digest), content):
                return False
        return True

    async def fetch(self, digest: str) -> bytes:
        """Returns a content.

        Raises:
            Expired: it is not there any more.
        """
        content = await self._store.get(_key(digest))
        if content is None:
            raise Expired(f"no result {digest[:64]} is kept here; it may be over, or of another process")
        return content


def _key(digest: str) -> str:
    return f"result/{digest}"


def _contents(value: Any) -> tuple[Tensor, list[tuple[str, bytes]]]:
    tensor = tensors.of(value)
    if tensor.datatype == "BYTES":
        items = [item.encode() if isinstance(item, str) else bytes(item) for item in tensor.data]
    else:
        items = tensors.raw(tensor)
    return tensor, [(hashlib.sha256(item).hexdigest(), item) for item in items]


def content_type(content: bytes) -> str:
    """Returns the media type of a picture, and of all else that it is bytes."""
    start = (kind for start, kind in _PICTURES.items() if content.startswith(start))
    return next(start, "application/octet-stream")
