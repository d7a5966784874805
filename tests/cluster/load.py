"""Constant load on a server while a test does something to it."""

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

import httpx

from imagegraph import wire
from imagegraph.catalogue import ROOT
from imagegraph.image import Image
from imagegraph.message import Message

PICTURE = Image((ROOT / "pocket" / "examples" / "scene.png").read_bytes())


class Load:
    """Sends requests one after the other in each of a few threads, at most so many a second in all.

    Attributes:
        outcomes: how often each status came, or each kind of failure.
    """

    def __init__(
        self, address: str, *, threads: int = 4, rate: float = 40, most: int = 20_000, reuse: bool = True
    ) -> None:
        """Takes `host:port`; `reuse` says whether a thread keeps its connection."""
        self.outcomes: Counter[str] = Counter()
        self._url = f"http://{address}/v2/models/edges/infer"
        self._body, head = wire.encode(Message({"image": PICTURE}))
        self._headers = {"Content-Type": "application/octet-stream", wire.HEADER_LENGTH: str(head)}
        self._pause_s, self._most, self._reuse = threads / rate, most // threads, reuse
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(threads)]

    @property
    def sent(self) -> int:
        """Requests that have ended."""
        return self.outcomes.total()

    @property
    def lost(self) -> int:
        """Requests that did not end well."""
        return self.sent - self.outcomes["200"]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def finish(self, timeout_s: float) -> None:
        """Waits until all requests that may be sent are."""
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))
            assert not thread.is_alive(), f"only {self.sent} requests ended: {self.outcomes}"

    def _send(self, number: int) -> None:
        client = httpx.Client(timeout=30)
        for index in range(self._most):
            start = time.monotonic()
            try:
                headers = {**self._headers, "X-Request-Id": f"{number}-{index}"}
                outcome = str(client.post(self._url, content=self._body, headers=headers).status_code)
            except httpx.HTTPError as error:
                outcome = type(error).__name__
            with self._lock:
                self.outcomes[outcome] += 1
            if not self._reuse:
                client.close()
                client = httpx.Client(timeout=30)
            if self._stop.wait(max(0, start + self._pause_s - time.monotonic())):
                break
        client.close()
