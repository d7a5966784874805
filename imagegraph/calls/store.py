"""Where encoded values are kept: in this process, or near before far."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import Protocol


class Store(Protocol):
    """Keeps bytes by key."""

    async def get(self, key: str) -> bytes | None:
        """Returns what was put under the key, or nothing."""

    async def put(self, key: str, value: bytes) -> bool:
        """Keeps a value, for a while; returns whether it is there now."""


class MemoryStore:
    """Keeps the values used last, up to a number of bytes, and no longer than they may live."""

    def __init__(self, max_bytes: int, lifetime_s: float = math.inf) -> None:
        """Takes the most bytes to hold; a larger single value is not kept."""
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

    async def put(self, key: str, value: bytes) -> bool:
        """Keeps a value; drops those not used for longest."""
        if len(value) > self._max_bytes:
            return False
        if key in self._values:
            self._drop(key)
        self._values[key] = (value, time.monotonic() + self._lifetime_s)
        self.bytes += len(value)
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._values)))
        return True

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

    async def put(self, key: str, value: bytes) -> bool:
        """Keeps a value in both."""
        near = await self._near.put(key, value)
        return await self._far.put(key, value) or near
