"""Constant load on a server while a test does something to it."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.spec.catalogue import ROOT
from imagegraph.wire import v2_json

PICTURE = Image((ROOT / "pocket" / "examples" / "scene.png").read_bytes())


class Load:
    """Sends requests one after the other in each of a few threads, at most so many a second in all.

    Attributes:
        outcomes: how often each status came, or each kind of failure.
        longest_s: how long the slowest answer took.
        lost_at: `time.monotonic()` of the end of every request that did not end well.
    """

    def __init__(
        self, address: str, *, threads: int = 4, rate: float = 40, most: int = 20_000, reuse: bool = True,
        timeout_s: float = 30, model: str = "edges", values: Callable[[], dict[str, Any]] = dict,
    ) -> None:  # fmt: skip
        """Takes `host:port`; `reuse` says whether a thread keeps its connection.

        Args:
            values: makes what each request has beside the picture.
        """
        self.outcomes: Counter[str] = Counter()
        self.longest_s = 0.0
        self.lost_at: list[float] = []
        self._timeout_s = timeout_s
        self._url = f"http://{address}/v2/models/{model}/infer"
        self._values = values
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

    def __str__(self) -> str:
        """Says how many requests were lost."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.outcomes.items() if kind != "200")
        lost = f"lost {self.lost} of {self.sent} requests{f' ({kinds})' if kinds else ''}"
        return f"{lost}, the longest answer took {self.longest_s:.1f} s"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(self._timeout_s + 30)

    def finish(self, timeout_s: float) -> None:
        """Waits until all requests that may be sent are."""
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))
            assert not thread.is_alive(), f"only {self.sent} requests ended: {self.outcomes}"

    def _send(self, number: int) -> None:
        client = httpx.Client(timeout=self._timeout_s)
        for index in range(self._most):
            start = time.monotonic()
            try:
                body, head = v2_json.encode(Message({"image": PICTURE, **self._values()}))
                headers = {
                    "Content-Type": "application/octet-stream",
                    v2_json.HEADER_LENGTH: str(head),
                    "X-Request-Id": f"{number}-{index}",
                }
                outcome = str(client.post(self._url, content=body, headers=headers).status_code)
            except httpx.HTTPError as error:
                outcome = type(error).__name__
            with self._lock:
                self.outcomes[outcome] += 1
                if outcome != "200":
                    self.lost_at.append(time.monotonic())
                self.longest_s = max(self.longest_s, time.monotonic() - start)
            if not self._reuse:
                client.close()
                client = httpx.Client(timeout=self._timeout_s)
            if self._stop.wait(max(0, start + self._pause_s - time.monotonic())):
                break
        client.close()
