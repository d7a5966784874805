"""Results in Redis, shared by all pods; Redis bounds their bytes (maxmemory), we their time."""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from zlib import crc32

from imagegraph.errors import ImagegraphError

log = logging.getLogger("imagegraph.redis")

Result = TypeVar("Result")

PREFIX = "imagegraph/2/"  # a store of another format shall not be read
CONNECT_S = 0.5
TIMEOUT_S = 2.0  # of one answer; computing most results takes longer
REST_S = 5.0
CHECKSUM = struct.Struct("<I")
MAX_BYTES = 64 * 2**20


class RedisStore:
    """Keeps results in Redis. Whatever fails there is as if nothing had been kept.

    After a failure Redis is left alone for a few seconds, so that requests do not wait for it in turn.
    """

    def __init__(self, url: str, lifetime_s: float, failed: Callable[[], None]) -> None:
        """Takes a URL such as redis://[:password@]host:6379/0 (rediss: with TLS).

        Args:
            lifetime_s: how long a result is kept.
            failed: called on every failure.

        Raises:
            ImagegraphError: the extra 'redis' is not installed.
        """
        try:
            from redis import asyncio as redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import RedisError
        except ImportError as error:
            raise ImagegraphError(f"--cache-redis needs the extra 'redis' of imagegraph: {error}") from error
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=CONNECT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._errors = (RedisError, OSError, TimeoutError)
        self._lifetime_ms = round(1000 * lifetime_s)
        self._failed = failed
        self._rest_until = 0.0
        self._well = True

    async def get(self, key: str) -> bytes | None:
        """Returns what was put under the key, by any pod."""
        found = await self._attempt(lambda: self._redis.get(PREFIX + key))
        if not isinstance(found, bytes):
            return None
        checksum, value = found[: CHECKSUM.size], found[CHECKSUM.size :]
        return value if checksum == CHECKSUM.pack(crc32(value)) else None

    async def put(self, key: str, value: bytes) -> bool:
        """Keeps a value behind its checksum: what is not whole is as if nothing had been kept."""
        if len(value) > MAX_BYTES:
            return False
        checked = CHECKSUM.pack(crc32(value)) + value
        return bool(await self._attempt(lambda: self._redis.set(PREFIX + key, checked, px=self._lifetime_ms)))

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    async def _attempt(self, action: Callable[[], Awaitable[Result]]) -> Result | None:
        if time.monotonic() < self._rest_until:
            return None
        try:
            result = await action()
        except self._errors as error:
            self._rest_until = time.monotonic() + REST_S
            self._failed()
            if self._well:  # one line, however many requests meet it
                log.error("Redis fails, so nothing is found there: %s: %s", type(error).__name__, error)
            self._well = False
            return None
        if not self._well:
            log.info("Redis works again")
        self._well = True
        return result
