"""Wakes those who wait for something to happen to a job, on the server's event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

# Names of what concerns the queue, its free places, and the gallery; no job has such an id.
QUEUE, PLACES, PICTURES = "queue", "places", "pictures"


def end_of(id: str) -> str:
    """Returns the name of a job's end: whoever waits for nothing else is not woken by all before it."""
    return f"the end of {id}"


class Bell:
    """Whoever waits for a name is woken when it is rung; rung names that nobody waits for are forgotten."""

    def __init__(self) -> None:
        """Begins with nobody waiting."""
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Takes the loop that runs."""
        self._loop = asyncio.get_running_loop()

    def ring(self, name: str) -> None:
        """Wakes those who wait for a name; from any thread."""
        self.call(self._ring, name)

    def ring_end(self, id: str) -> None:
        """Wakes those who wait for anything to happen to a job, and those who wait for its end."""
        self.call(self._ring_end, id)

    def call(self, work: Callable[[str], None], name: str) -> None:
        """Does something on the loop; from any thread."""
        if self._loop:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it who waited
                self._loop.call_soon_threadsafe(work, name)

    def _ring(self, name: str) -> None:
        for one in self._waiting.get(name, ()):
            one.set()

    def _ring_end(self, id: str) -> None:
        self._ring(id)
        self._ring(end_of(id))

    @contextlib.contextmanager
    def listening(self, name: str, rung: asyncio.Event | None = None) -> Iterator[asyncio.Event]:
        """Yields an event that is set whenever the name is rung: a new one, or one that listens already."""
        rung = rung or asyncio.Event()
        self._waiting.setdefault(name, set()).add(rung)
        try:
            yield rung
        finally:
            self._waiting[name].discard(rung)
            if not self._waiting[name]:
                del self._waiting[name]


async def wait(rung: asyncio.Event, timeout_s: float) -> None:
    """Waits until a bell rings, or for so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await rung.wait()
    rung.clear()
